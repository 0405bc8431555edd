-- Status and update time of the case, kept by every write that moves them, so that an agent's involved cases are read
-- in order however many there are. Status as in cases: merged ones have 10 more.
ALTER TABLE involved_cases ADD COLUMN status smallint, ADD COLUMN update_time timestamptz;

UPDATE involved_cases i SET status = c.status, update_time = c.update_time FROM cases c
WHERE c.partition = i.partition AND c.account = i.account AND c.id = i.case_id;

ALTER TABLE involved_cases ALTER COLUMN status SET NOT NULL, ALTER COLUMN update_time SET NOT NULL;

CREATE INDEX involved_cases_by_update ON involved_cases (partition, account, agent, status, update_time, case_id);
CREATE INDEX involved_cases_by_status ON involved_cases (partition, account, agent, status, case_id);
