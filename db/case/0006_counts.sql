-- How many cases an account has, by what folders ask for: kept by every write that changes it, so that counting costs
-- the same however many cases there are. Merged cases count nowhere.
CREATE TABLE case_counts (
    partition smallint NOT NULL,
    account text COLLATE "C" NOT NULL,
    kind smallint NOT NULL, -- 1 by status, 2 new, open or pending by owner, 3 in need of a reply, 4 live by involved
                            -- agent, 5 not deleted by the hour of the first opening
    agent text COLLATE "C" NOT NULL, -- of 2 and 4
    slot bigint NOT NULL,            -- of 1 the status, of 5 the hour since 1970
    cases bigint NOT NULL,
    PRIMARY KEY (partition, account, kind, agent, slot)
) WITH (fillfactor = 50);

INSERT INTO case_counts
SELECT partition, account, 1, '', status, count(*) FROM cases WHERE status <= 6 GROUP BY 1, 2, status
UNION ALL
SELECT partition, account, 2, owner, 0, count(*) FROM cases WHERE status <= 3 GROUP BY 1, 2, owner
UNION ALL
SELECT partition, account, 3, '', 0, count(*) FROM cases WHERE need_reply AND status <= 4 GROUP BY 1, 2
UNION ALL
SELECT partition, account, 4, agent, 0, count(*) FROM cases, unnest(involved) AS agent WHERE status <= 4
GROUP BY 1, 2, agent
UNION ALL
SELECT partition, account, 5, '', floor(extract(epoch FROM open_time) / 3600)::bigint AS hour, count(*) FROM cases
WHERE open_time IS NOT NULL AND status <= 5 GROUP BY 1, 2, hour;
