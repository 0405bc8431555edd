-- Contacts who have written in the case of somebody else: a merge has led their messages there, or a service has named
-- them as authors. They get copies of what is answered, and their erasure finds what they wrote.
CREATE TABLE case_guests (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    contact text COLLATE "C" NOT NULL,
    case_id bigint NOT NULL,
    PRIMARY KEY (partition, account, contact, case_id)
);

CREATE INDEX case_guests_by_case ON case_guests (partition, account, case_id);
