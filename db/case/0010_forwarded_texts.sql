-- Whose text a message to a third party has: that of the messages that were forwarded with it, also of those that stood
-- in one of them already. All are named by where they were written, which no merge and no undoing of one changes.
CREATE TABLE forwarded_texts (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    number integer NOT NULL,
    origin_case bigint NOT NULL,
    origin_number integer NOT NULL,
    PRIMARY KEY (partition, account, case_id, number, origin_case, origin_number)
);

CREATE INDEX forwarded_texts_by_origin ON forwarded_texts (partition, account, origin_case, origin_number);
