-- Lists by status: Need a reply, and Recent by the hour of the first opening.
CREATE INDEX cases_need_reply_by_status ON cases (partition, account, status, id) WHERE need_reply AND status <= 4;
CREATE INDEX cases_opened_by_status ON cases
    (partition, account, status, date_bin('1 hour', open_time, '2000-01-01Z'::timestamptz), id)
    WHERE open_time IS NOT NULL AND status <= 5;

-- The key stays the last (0007).
CREATE UNIQUE INDEX cases_key ON cases (partition, account, id);
ALTER TABLE cases DROP CONSTRAINT cases_pkey;
ALTER TABLE cases ADD CONSTRAINT cases_pkey PRIMARY KEY USING INDEX cases_key;
