#!/bin/bash
# First start: a cluster, the user's database, the scripts of /docker-entrypoint-initdb.d. Then the server.
set -euo pipefail

as_postgres() { runuser -u postgres -- "$@"; }

install -d -o postgres -g postgres -m 0700 "$PGDATA"
install -d -o postgres /var/run/postgresql
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    install -o postgres -m 0600 /dev/null /tmp/password
    echo "$POSTGRES_PASSWORD" > /tmp/password
    as_postgres initdb --username "$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust \
        --auth-host=scram-sha-256 > /dev/null
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    as_postgres pg_ctl -o "-c listen_addresses=''" -w start
    as_postgres psql -q -U "$POSTGRES_USER" -d postgres -c "CREATE DATABASE \"$POSTGRES_USER\""
    for script in /docker-entrypoint-initdb.d/*.sql; do
        as_postgres psql -q -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_USER" -f "$script"
    done
    as_postgres pg_ctl -m fast -w stop
fi
exec runuser -u postgres -- postgres -c listen_addresses='*'
