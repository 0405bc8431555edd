-- Of the account's closed cases, all that were last changed before this time have every step of their targets recorded
-- (business time; none: since there are targets).

ALTER TABLE sla.policies ADD COLUMN settled_time timestamptz;
