-- What volume is summed up from, kept in the same transaction as the engagements.

-- How many spans of engagements started and ended in a quarter of an hour (unit 0) or a day (unit 1) of UTC; what ended
-- is in the slot of its last moment.
CREATE TABLE report_volume (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    unit smallint NOT NULL,
    slot bigint NOT NULL, -- quarters or days since 1970
    starts bigint NOT NULL,
    ends bigint NOT NULL,
    PRIMARY KEY (partition, account, unit, slot)
) WITH (fillfactor = 70);

-- How many engagements paused: from the quarter of the last moment before, to that of the re-opening.
CREATE TABLE report_pauses (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    from_quarter bigint NOT NULL,
    to_quarter bigint NOT NULL,
    pauses bigint NOT NULL,
    PRIMARY KEY (partition, account, from_quarter, to_quarter)
) WITH (fillfactor = 70);

-- What was counted before there were engagements is counted again, from the feed's beginning.
TRUNCATE report_entries, report_sums, report_cases, report_accounts, report_commits, report_engagements;
UPDATE report_partitions SET position = 0, epoch = '';
