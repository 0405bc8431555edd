-- What summaries and classifications of any range are made of, kept in the same transaction as the engagements: closed
-- cases by hour (level 0), day (1) and 32 days (2) of UTC of their latest closing.

-- Rows of one key add up: a change adds a row (fresh), and now and then those of one key are made one. Dimensions: 0 all,
-- 1 agent, 2 channel, 3 label, 4 classification (key: group), 5 cases with any classification of the group. The
-- sketches are those of report_sketch.h: first reply, resolution, interactions, agents.
CREATE TABLE report_totals (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    level smallint NOT NULL,
    slot bigint NOT NULL, -- hours, days or 32 days since 1970
    dimension smallint NOT NULL,
    key text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    fresh boolean NOT NULL,
    closed bigint NOT NULL,      -- cases
    engagements bigint NOT NULL, -- of those; the sums are over these
    first_reply bigint NOT NULL,
    resolution bigint NOT NULL,
    interactions bigint NOT NULL,
    agents bigint NOT NULL,
    sketches bytea NOT NULL
);

-- They hardly compress.
ALTER TABLE report_totals ALTER COLUMN sketches SET STORAGE EXTERNAL;

CREATE INDEX report_totals_by_slot ON report_totals (partition, account, level, dimension, slot, key, value);
CREATE INDEX report_totals_fresh ON report_totals (partition) WHERE fresh;

-- What was counted before there were totals is counted again, from the feed's beginning.
TRUNCATE report_entries, report_sums, report_cases, report_accounts, report_commits, report_engagements, report_volume,
    report_pauses;
UPDATE report_partitions SET position = 0, epoch = '';
