-- The SLA service's tables: what accounts have chosen. Timers themselves live in Redis, their truth in the case service.
-- The schema of its own lets all services share a database.

CREATE SCHEMA sla;

-- Accounts that have changed their policy; all others have the default. `version` grows with every change;
-- `applied_version` is the one that all running timers stand under.
CREATE TABLE sla.policies (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    closing_rule smallint NOT NULL,  -- 1 so long after the last change of a resolved case, 2 after the last activity
    closing_duration bigint NOT NULL CHECK (closing_duration >= 1000000), -- microseconds
    version bigint NOT NULL,
    applied_version bigint NOT NULL DEFAULT 0,
    update_time timestamptz NOT NULL, -- business time
    PRIMARY KEY (partition, account)
);

CREATE INDEX policies_to_apply ON sla.policies (partition, account) WHERE applied_version < version;

-- What a request did, for 24 hours.
CREATE TABLE sla.request_ids (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    time timestamptz NOT NULL, -- real time: ids are forgotten by it
    PRIMARY KEY (partition, account, request_id)
);

CREATE INDEX request_ids_by_time ON sla.request_ids USING brin (time);
