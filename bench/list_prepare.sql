-- One account's cases of the last 60 days, straight into the tables of the case service: a fifth of them not closed yet, twenty
-- agents. psql -v cases=10000; the table bench_accounts (ord, account, partition) is there already.

INSERT INTO accounts (partition, account, display_name, time_zone, reopen_resolved, report_lock_days, session_grace,
                      next_case, version, create_time, update_time)
SELECT partition, account, account, 'UTC', false, 3, 15000000, :cases + 1, 1, now(), now() FROM bench_accounts;

INSERT INTO cases (partition, account, id, status, status_before_delete, need_reply, priority, message_count,
                   messages_assigned, messages_in_progress, messages_responded, first_open_message, create_time,
                   update_time, status_time, open_time, customer_time, waiting_since, last_send_time, change_time,
                   activity_time, version, change_version, activity_version, merged_into, lock_token, lock_agent,
                   lock_session, owner, contact, channel, external_id, involved, labels, classifications, attributes,
                   subject, subject_key)
SELECT partition, account, id, status, 0, status <= 4 AND n / 100 % 5 = 0, 0, 3, 0, 0, 1, 1, t, t + interval '2 minutes',
       t, CASE WHEN status = 1 THEN NULL ELSE t + interval '1 minute' END, t, NULL, t, t, t, 3, 1, 1, 0, 0, '', '',
       CASE WHEN status = 1 THEN '' ELSE 'agent-' || n / 100 % 20 END, '1', '1', '',
       CASE WHEN n / 100 % 40 = 3 THEN '{agent-1}'::text[] ELSE '{}' END, '{billing}', '{topic,printer}', '{}',
       'Question ' || hash, 'question ' || hash
FROM (SELECT partition, account, id, n, md5(id::text) AS hash,
             now() - (:cases - id) * (interval '60 days' / :cases) AS t,
             CASE WHEN n % 100 < 2 THEN 1 WHEN n % 100 < 7 THEN 2 WHEN n % 100 < 12 THEN 3 WHEN n % 100 < 20 THEN 4
                  WHEN n % 100 < 99 THEN 5 ELSE 6 END AS status
      FROM (SELECT partition, account, id, (id::bigint * 7919 % 99991)::int AS n
            FROM bench_accounts, generate_series(1, :cases) AS id) ids) made;

INSERT INTO involved_cases (partition, account, agent, case_id, status, update_time)
SELECT partition, account, 'agent-1', id, status, update_time FROM cases WHERE involved <> '{}';

INSERT INTO case_counts
SELECT partition, account, 1, '', status, count(*) FROM cases GROUP BY 1, 2, status
UNION ALL
SELECT partition, account, 2, owner, 0, count(*) FROM cases WHERE status <= 3 GROUP BY 1, 2, owner
UNION ALL
SELECT partition, account, 3, '', 0, count(*) FROM cases WHERE need_reply GROUP BY 1, 2
UNION ALL
SELECT partition, account, 4, 'agent-1', 0, count(*) FROM cases WHERE status <= 4 AND involved <> '{}' GROUP BY 1, 2
UNION ALL
SELECT partition, account, 5, '', floor(extract(epoch FROM open_time) / 3600)::bigint AS hour, count(*) FROM cases
WHERE open_time IS NOT NULL AND status <= 5 GROUP BY 1, 2, hour;

UPDATE partitions SET last_time = now();

VACUUM ANALYZE;
CHECKPOINT;
