-- The case service's tables. Everything is keyed by partition and account first, so that the database can be
-- distributed by partition. Times are business time; '' stands for "none" in ids, NULL for "not set" in times.

-- One row a partition: locked first by every writing transaction. `head` is the last position given out in the
-- feed, `last_time` the last business time. The low fill factor keeps the updates on their page.
CREATE TABLE partitions (
    partition smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 63),
    head bigint NOT NULL DEFAULT 0,
    last_time timestamptz NOT NULL DEFAULT '1970-01-01Z',
    mark bigint -- of the last batch: tells after a crash whether a commit was ours (lib/pg/lane.h)
) WITH (fillfactor = 10);

INSERT INTO partitions (partition) SELECT generate_series(0, 63);

-- The suite as a whole. `epoch` names this history of the feed; `manual_time` is the clock that tests move, NULL
-- while the suite runs on real time.
CREATE TABLE suite (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch text COLLATE "C" NOT NULL,
    manual_time timestamptz
);

INSERT INTO suite (epoch) VALUES (gen_random_uuid()::text);

CREATE TABLE accounts (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    time_zone text COLLATE "C" NOT NULL,
    reopen_resolved boolean NOT NULL,
    report_lock_days integer NOT NULL,
    session_grace bigint NOT NULL, -- microseconds
    next_case bigint NOT NULL DEFAULT 1,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (partition, account)
) WITH (fillfactor = 50);

-- For the list of all accounts.
CREATE INDEX accounts_by_name ON accounts (account);

CREATE TABLE agents (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    email text NOT NULL,
    role smallint NOT NULL,
    disabled boolean NOT NULL,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (partition, account, agent)
);

CREATE TABLE contacts (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    contact text COLLATE "C" NOT NULL,
    display_name text NOT NULL,
    emails text[] NOT NULL,
    phones text[] NOT NULL,
    handles text[] NOT NULL, -- network, address, network …
    note text NOT NULL,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    erase_time timestamptz,
    PRIMARY KEY (partition, account, contact)
);

-- Where contacts are found by. `network` is 'email', 'phone', or the channel's network for its own handles;
-- `address` is folded.
CREATE TABLE contact_addresses (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    network text COLLATE "C" NOT NULL,
    address text COLLATE "C" NOT NULL,
    contact text COLLATE "C" NOT NULL,
    PRIMARY KEY (partition, account, network, address)
);

CREATE INDEX contact_addresses_by_address ON contact_addresses (partition, account, address);
CREATE INDEX contact_addresses_by_contact ON contact_addresses (partition, account, contact);

CREATE TABLE channels (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL,
    network text COLLATE "C" NOT NULL,
    address text NOT NULL,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (partition, account, channel),
    UNIQUE (partition, account, network, address)
);

-- Statuses: 1 new, 2 open, 3 pending, 4 resolved, 5 closed, 6 deleted.
CREATE TABLE cases (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    id bigint NOT NULL,
    status smallint NOT NULL,
    status_before_delete smallint NOT NULL,
    need_reply boolean NOT NULL,
    priority smallint NOT NULL,
    message_count integer NOT NULL,
    -- customer messages by workflow state; those in state CLOSED are not counted
    messages_assigned integer NOT NULL,
    messages_in_progress integer NOT NULL,
    messages_responded integer NOT NULL,
    first_open_message integer NOT NULL, -- none below it is in one of the three states; 0: none at all
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    status_time timestamptz NOT NULL, -- the present status began
    open_time timestamptz,            -- first opened by an agent
    customer_time timestamptz,        -- the customer's first message was sent
    waiting_since timestamptz,        -- the oldest customer message without a reply was sent
    first_reply_time timestamptz,     -- an agent first replied
    last_send_time timestamptz,       -- times by sending never run back within a case
    resolve_time timestamptz,
    close_time timestamptz,
    delete_time timestamptz,
    change_time timestamptz NOT NULL,   -- from where the resolved rule counts
    activity_time timestamptz NOT NULL, -- from where the inactivity rule counts
    version bigint NOT NULL,
    change_version bigint NOT NULL,
    activity_version bigint NOT NULL,
    merged_into bigint NOT NULL,
    lock_token bigint NOT NULL,
    lock_time timestamptz,
    lock_agent text COLLATE "C" NOT NULL,
    lock_session text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    contact text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    involved text[] NOT NULL,
    labels text[] NOT NULL,
    classifications text[] NOT NULL, -- group, value, group, value …
    attributes text[] NOT NULL,      -- key, value, key, value … by key
    subject text NOT NULL,
    subject_key text COLLATE "C" NOT NULL, -- caseless, decomposed, cut: what subjects are sorted by
    PRIMARY KEY (partition, account, id)
) WITH (fillfactor = 80);

-- Lists: any folder is a merge of a few statuses, each read in order from one of these.
CREATE INDEX cases_by_update ON cases (partition, account, status, update_time, id);
CREATE INDEX cases_by_subject ON cases (partition, account, status, subject_key, id);
CREATE INDEX cases_by_status ON cases (partition, account, status, id);
CREATE INDEX cases_by_owner ON cases (partition, account, owner, status, update_time, id);
CREATE INDEX cases_by_owner_subject ON cases (partition, account, owner, status, subject_key, id) WHERE status <= 3;
CREATE INDEX cases_by_owner_status ON cases (partition, account, owner, status, id) WHERE status <= 3;
CREATE INDEX cases_need_reply ON cases (partition, account, update_time, id) WHERE need_reply AND status <= 4;
CREATE INDEX cases_recent ON cases (partition, account, open_time, id) WHERE open_time IS NOT NULL AND status <> 6;

-- What the two closing rules look at, over all accounts.
CREATE INDEX cases_resolved ON cases (partition, change_time, account, id) WHERE status = 4;
CREATE INDEX cases_inactive ON cases (partition, activity_time, account, id)
    WHERE status BETWEEN 2 AND 4 AND messages_assigned + messages_in_progress + messages_responded = 0;

-- Found without burdening the index of cases, which every message touches.
CREATE TABLE contact_cases (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    contact text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    PRIMARY KEY (partition, account, contact, channel, case_id)
);

CREATE TABLE involved_cases (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    agent text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    PRIMARY KEY (partition, account, agent, case_id)
);

-- Kinds: 1 customer, 2 agent, 3 note, 4 to and 5 from a third party, 6 system, 7 survey.
CREATE TABLE messages (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    number integer NOT NULL,
    kind smallint NOT NULL,
    state smallint NOT NULL,    -- customer messages: 1 assigned, 2 in progress, 3 responded, 4 closed; else 0
    delivery smallint NOT NULL, -- outgoing ones: 1 queued, 2 sent, 3 failed; else 0
    automatic boolean NOT NULL,
    redacted boolean NOT NULL,
    send_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL,
    author text NOT NULL, -- resource name or address
    third_party text NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    delivery_failure text NOT NULL,
    merged_from bigint NOT NULL,
    body text NOT NULL,
    attachments text[] NOT NULL, -- file name, content type, size, uri, file name …
    PRIMARY KEY (partition, account, case_id, number)
);

ALTER TABLE messages ALTER COLUMN body SET COMPRESSION lz4;

-- Every external id ever seen: of messages by channel, of imported conversations under channel '' (number 0).
CREATE TABLE external_ids (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL,
    external_id text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    number integer NOT NULL,
    PRIMARY KEY (partition, account, channel, external_id)
);

-- What a request did, for 24 hours: references, not text.
CREATE TABLE request_ids (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    method smallint NOT NULL,
    resource text COLLATE "C" NOT NULL, -- id of an account, agent, contact or channel
    case_id bigint NOT NULL,
    number integer NOT NULL,
    position bigint NOT NULL,
    time timestamptz NOT NULL, -- real time: ids are forgotten by it
    PRIMARY KEY (partition, account, request_id)
);

CREATE INDEX request_ids_by_time ON request_ids USING brin (time);

-- Feed and history in one. `data` is a packed casework.cases.v1.Event; case_id is 0 for what concerns no case.
CREATE TABLE events (
    partition smallint NOT NULL,
    position bigint NOT NULL,
    account text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    kind smallint NOT NULL,
    time timestamptz NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (partition, position)
);

CREATE INDEX events_by_case ON events (partition, account, case_id, position);
