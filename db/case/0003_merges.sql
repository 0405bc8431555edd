-- Merged cases, batches of changes, and timer steps.

-- Numbers of messages that times of the case are of: the bases of the reply and resolution targets.
ALTER TABLE cases
    ADD COLUMN customer_number integer NOT NULL DEFAULT 0, -- customer_time's
    ADD COLUMN waiting_number integer NOT NULL DEFAULT 0,  -- waiting_since's
    ADD COLUMN messages_left integer NOT NULL DEFAULT 0;   -- the last number is message_count + messages_left

-- A merged message is a copy: of what.
ALTER TABLE messages
    ADD COLUMN origin_case bigint NOT NULL DEFAULT 0,
    ADD COLUMN origin_number integer NOT NULL DEFAULT 0;

-- What is removed is removed from all copies.
CREATE INDEX messages_by_origin ON messages (partition, account, origin_case, origin_number)
    WHERE origin_case <> 0;

-- Merges that stand. A merged case has its status + 10 in `cases`, so that no index of a list finds it.
CREATE TABLE case_merges (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    source bigint NOT NULL,
    target bigint NOT NULL,
    agents text[] NOT NULL, -- owner and involved agents of the source
    added text[] NOT NULL,  -- those of them whom the merge made involved in the target
    PRIMARY KEY (partition, account, source)
);

CREATE INDEX case_merges_by_target ON case_merges (partition, account, target);

-- What was refused of a batch of changes, kept beside its request id as long as that. Of each: place, code,
-- reason, message, how many details, and those as pairs.
CREATE TABLE batch_results (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    request_id text COLLATE "C" NOT NULL,
    refusals text[] NOT NULL,
    time timestamptz NOT NULL, -- real time
    PRIMARY KEY (partition, account, request_id)
);

-- Each step of a timer happens once.
CREATE TABLE timer_steps (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    kind smallint NOT NULL,
    step smallint NOT NULL,
    basis_version bigint NOT NULL,
    PRIMARY KEY (partition, account, case_id, kind, step, basis_version)
);
