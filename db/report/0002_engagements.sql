-- Engagements: one row a case, whether it has become one yet or not, kept in the same transaction as the position.
-- Times here are microseconds since 1970, so that whatever lists and ranges go by is a number and never NULL; durations
-- are microseconds.

CREATE TABLE report_engagements (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    status smallint NOT NULL,   -- as in report_cases
    merged boolean NOT NULL,    -- its conversation is another case's for now
    channel text COLLATE "C" NOT NULL,
    network text COLLATE "C" NOT NULL,
    channel_address text COLLATE "C" NOT NULL,
    labels text[] COLLATE "C" NOT NULL,
    class_groups text[] COLLATE "C" NOT NULL, -- classifications: groups, and the values that belong to them
    class_values text[] COLLATE "C" NOT NULL,
    sent bigint NOT NULL,       -- up to which time its messages were sent; 0: there is none
    opened bigint NOT NULL,     -- the customer's first message; 0: none has come
    closed bigint NOT NULL,     -- the latest closing; 9223372036854775807: it is not closed
    first_reply bigint NOT NULL, -- from `opened`; 0 without a reply
    resolution bigint NOT NULL, -- from `opened` to the last reply
    interactions bigint NOT NULL, -- replies since `opened`
    agents text[] COLLATE "C" NOT NULL, -- who sent them, in the order of their first one
    last_agent text COLLATE "C" NOT NULL,
    nps_sent boolean NOT NULL,
    pauses bigint[] NOT NULL,   -- from, to, from, to …: while the case was closed or deleted; the last may have no end
    spans bigint[] NOT NULL,    -- the same of when the engagement was open
    engaged boolean NOT NULL,   -- it is an engagement
    counted boolean NOT NULL,   -- it is one, or a closed case without one: what reports are about
    PRIMARY KEY (partition, account, case_id)
) WITH (fillfactor = 80);

CREATE INDEX report_engagements_by_closing ON report_engagements (partition, account, closed, case_id)
    WHERE counted;

CREATE INDEX report_engagements_by_opening ON report_engagements (partition, account, opened, case_id)
    WHERE engaged;
