-- Agents' sessions and what they have open. Their times are real time, whatever clock the suite runs on, but for
-- `open_time`.

-- `host` is the replica that serves the session's stream, '' while it has none; `stream` counts its streams: what an
-- older one asks for is refused. A session without a stream is over at `expire_time`; one with a stream when its host
-- has not been seen for the account's grace time.
CREATE TABLE sessions (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    session text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    host text COLLATE "C" NOT NULL,
    stream bigint NOT NULL,
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (partition, account, session)
);

CREATE INDEX sessions_by_agent ON sessions (partition, account, agent);
CREATE INDEX sessions_by_host ON sessions (partition, host) WHERE host <> '';
CREATE INDEX sessions_without_host ON sessions (expire_time) WHERE host = '';

-- One lease for all sessions that a replica serves in a partition. `losses` counts those that were taken away from it.
CREATE TABLE session_hosts (
    partition smallint NOT NULL,
    host text COLLATE "C" NOT NULL,
    seen_time timestamptz NOT NULL,
    losses bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (partition, host)
) WITH (fillfactor = 10);

-- A case that a session has open. `wait` is its place in the queue for the case's lock, the lowest first; `number` is
-- the order of opening.
CREATE TABLE tabs (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    session text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    wait bigint NOT NULL,
    open_time timestamptz NOT NULL,
    PRIMARY KEY (partition, account, case_id, session)
);

CREATE INDEX tabs_by_session ON tabs (partition, account, session, number);
CREATE INDEX tabs_by_agent ON tabs (partition, account, agent, number);
