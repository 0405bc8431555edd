-- Resolved cases whose time is over one after the other: the first :steady at :rate a second from :first seconds from now on,
-- the other :burst within one second, :pause seconds after those. psql -v …; the table bench_accounts is there already.

INSERT INTO accounts (partition, account, display_name, time_zone, reopen_resolved, report_lock_days, session_grace,
                      next_case, version, create_time, update_time)
SELECT partition, account, account, 'UTC', false, 3, 15000000, :steady + :burst + 1, 1, now(), now() FROM bench_accounts;

INSERT INTO cases (partition, account, id, status, status_before_delete, need_reply, priority, message_count,
                   messages_assigned, messages_in_progress, messages_responded, first_open_message, create_time,
                   update_time, status_time, open_time, customer_time, waiting_since, last_send_time, resolve_time,
                   change_time, activity_time, version, change_version, activity_version, merged_into, lock_token,
                   lock_agent, lock_session, owner, contact, channel, external_id, involved, labels, classifications,
                   attributes, subject, subject_key)
SELECT partition, account, id, 4, 0, false, 0, 1, 0, 0, 0, 0, t, t, t, t, t, NULL, t, t, t, t, 1, 1, 1, 0, 0, '', '', 'ann',
       '1', '1', '', '{}', '{billing}', '{}', '{}', 'Question number ' || id, 'question number ' || id
FROM (SELECT id, id % (SELECT count(*) FROM bench_accounts) + 1 AS ord,
             clock.start - interval '72 hours' +
             CASE WHEN id <= :steady THEN id * interval '1 second' / :rate
                  ELSE :steady * interval '1 second' / :rate + :pause * interval '1 second' +
                       (id - :steady) * interval '1 second' / :burst END AS t
      FROM generate_series(1, :steady + :burst) AS id,
           (SELECT clock_timestamp() + :first * interval '1 second' AS start) clock) made
JOIN bench_accounts USING (ord);

INSERT INTO case_counts SELECT partition, account, 1, '', status, count(*) FROM cases GROUP BY 1, 2, status;

UPDATE partitions SET last_time = now() - interval '1 hour';

VACUUM ANALYZE;
CHECKPOINT;
