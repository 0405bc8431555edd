-- What exact percentiles of a range are made of: the measures of each engagement, for totals by hour and day that have few
-- enough of them (report_values.h); NULL: the hours know, or the engagements themselves.
ALTER TABLE report_totals ADD COLUMN measured bytea;
ALTER TABLE report_totals ALTER COLUMN measured SET STORAGE EXTERNAL;

-- What was counted before is counted again, from the feed's beginning.
TRUNCATE report_entries, report_sums, report_cases, report_accounts, report_commits, report_engagements, report_volume,
    report_pauses, report_totals;
UPDATE report_partitions SET position = 0, epoch = '';
