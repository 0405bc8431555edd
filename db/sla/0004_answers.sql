-- What a request was answered with beside the policy, for the same request again.

ALTER TABLE sla.request_ids
    ADD COLUMN effect bigint[] NOT NULL DEFAULT '{}',  -- timers moved, added and removed, cases closing, targets breached
    ADD COLUMN position bigint NOT NULL DEFAULT 0;     -- the account's, that the timers stood at; 0: not at work yet
