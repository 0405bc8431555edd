-- Erasing contacts and accounts (docs/erasure.md).

-- What is being erased: answers hide it from the row's commit on, the rows go afterwards, in bounded steps. `contact`
-- is '' where it is the whole account.
CREATE TABLE erasures (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    contact text COLLATE "C" NOT NULL,
    position bigint NOT NULL, -- of the event that told of it
    actor_kind smallint NOT NULL,
    actor_id text COLLATE "C" NOT NULL,
    actor_via text COLLATE "C" NOT NULL,
    PRIMARY KEY (partition, account, contact)
);

-- Deleted accounts, for whoever repeats the request.
CREATE TABLE account_deletions (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    fingerprint bytea NOT NULL,
    time timestamptz NOT NULL, -- real time: forgotten by it
    PRIMARY KEY (partition, account, position)
);

-- The case's texts are gone for good, its messages' too.
ALTER TABLE cases ADD COLUMN erased boolean NOT NULL DEFAULT false;

-- The planner's statistics would keep samples of texts. No plan needs them: customers' texts are found by unique keys.
ALTER TABLE contacts
    ALTER COLUMN display_name SET STATISTICS 0,
    ALTER COLUMN emails SET STATISTICS 0,
    ALTER COLUMN phones SET STATISTICS 0,
    ALTER COLUMN handles SET STATISTICS 0,
    ALTER COLUMN note SET STATISTICS 0;
ALTER TABLE contact_addresses ALTER COLUMN address SET STATISTICS 0;
ALTER TABLE cases
    ALTER COLUMN external_id SET STATISTICS 0,
    ALTER COLUMN attributes SET STATISTICS 0,
    ALTER COLUMN subject SET STATISTICS 0,
    ALTER COLUMN subject_key SET STATISTICS 0;
ALTER TABLE messages
    ALTER COLUMN author SET STATISTICS 0,
    ALTER COLUMN third_party SET STATISTICS 0,
    ALTER COLUMN external_id SET STATISTICS 0,
    ALTER COLUMN delivery_failure SET STATISTICS 0,
    ALTER COLUMN body SET STATISTICS 0,
    ALTER COLUMN attachments SET STATISTICS 0;
ALTER TABLE external_ids ALTER COLUMN external_id SET STATISTICS 0;
ALTER TABLE request_ids ALTER COLUMN request_id SET STATISTICS 0;
