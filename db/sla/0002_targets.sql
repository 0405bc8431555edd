-- What accounts want reached in time, and when they work.

ALTER TABLE sla.policies
    ADD COLUMN terms bytea NOT NULL DEFAULT '',     -- packed casework.sla.v1.SlaPolicy: its targets and calendar
    ADD COLUMN time_zone text NOT NULL DEFAULT '',  -- the account's, for a calendar that names none
    ADD COLUMN first_reply_since timestamptz,       -- since when there have been targets of the kind, in business time
    ADD COLUMN next_reply_since timestamptz,
    ADD COLUMN resolution_since timestamptz;
