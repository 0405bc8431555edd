-- The report service's tables: all derived from the feed, partition by partition, each change of them in one
-- transaction with the position it makes the partition complete up to. Times are business time.

-- One row a partition, locked first by every writing transaction: what is above `position` has not been counted,
-- what is not above it never will be again. `epoch` names the feed's history, '' before anything was read.
CREATE TABLE report_partitions (
    partition smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 63),
    position bigint NOT NULL DEFAULT 0,
    epoch text COLLATE "C" NOT NULL DEFAULT ''
) WITH (fillfactor = 10);

INSERT INTO report_partitions (partition) SELECT generate_series(0, 63);

-- Which position belongs to which instant, for reports as of one: the last position of each commit time.
CREATE TABLE report_commits (
    partition smallint NOT NULL,
    commit_time timestamptz NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (partition, commit_time)
);

CREATE UNIQUE INDEX report_commits_by_position ON report_commits (partition, position);

-- Every settings an account has had, from which position on: a report as of then goes by those.
CREATE TABLE report_accounts (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    time_zone text COLLATE "C" NOT NULL,
    lock_days integer NOT NULL,
    PRIMARY KEY (partition, account, position)
);

-- Where each case stands. Statuses: 1 new, 2 open, 3 pending, 4 resolved, 5 closed, 6 deleted. Columns: 0 nowhere,
-- 1 created, 2 pending, 3 resolved, 4 deleted. Durations are microseconds.
CREATE TABLE report_cases (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    status smallint NOT NULL,
    create_time timestamptz NOT NULL,
    period_end timestamptz NOT NULL, -- its places are final from then on
    place smallint NOT NULL,         -- the column it stands in, or stood in when the period ended
    place_time timestamptz,
    place_duration bigint NOT NULL,
    former smallint NOT NULL, -- where it stood before it was deleted
    former_time timestamptz,
    former_duration bigint NOT NULL,
    late_resolved boolean NOT NULL, -- counted as resolved after the period
    late_deleted boolean NOT NULL,
    PRIMARY KEY (partition, account, case_id)
) WITH (fillfactor = 80);

-- The ledger: changes to reports, only ever added. `place_time` chooses the row, `position` is the event that caused
-- it.
CREATE TABLE report_entries (
    partition smallint NOT NULL,
    position bigint NOT NULL,
    ordinal smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    place smallint NOT NULL, -- the column
    delta smallint NOT NULL CHECK (delta IN (-1, 1)),
    place_time timestamptz NOT NULL,
    resolve_duration bigint NOT NULL,
    event_time timestamptz NOT NULL,
    commit_time timestamptz NOT NULL,
    PRIMARY KEY (partition, position, ordinal)
);

CREATE INDEX report_entries_by_place ON report_entries (partition, account, place_time);

-- The ledger's sums by quarter of an hour, what every offset in use is a multiple of: any zone's hours and days are
-- made of them.
CREATE TABLE report_sums (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    quarter bigint NOT NULL, -- quarters of an hour since 1970
    created bigint NOT NULL,
    pending bigint NOT NULL,
    resolved bigint NOT NULL,
    deleted bigint NOT NULL,
    resolve_duration bigint NOT NULL,
    PRIMARY KEY (partition, account, quarter)
) WITH (fillfactor = 70);
