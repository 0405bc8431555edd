-- The account's grace time when the stream began or ended, in microseconds. For so long a host takes a session to be its
-- own after it was last seen, whatever the account's grace time is meanwhile.
ALTER TABLE sessions ADD COLUMN grace bigint NOT NULL DEFAULT 0;
