-- Messages that wait for their channel's connector: gone once it has told how the delivery went. `position` is
-- that of the event that added the message: dense and in the order of commits, so that whoever has read up to a
-- known head has missed nothing.
CREATE TABLE outgoing (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    channel text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    case_id bigint NOT NULL,
    number integer NOT NULL,
    PRIMARY KEY (partition, account, channel, position)
);

CREATE UNIQUE INDEX outgoing_by_message ON outgoing (partition, account, case_id, number);
