-- The corpus of the search benchmark as cases, each with its words in one message, straight into the tables of the case
-- service. bench_accounts (ord, account, partition) and bench_lines, the lines of cases.tsv, are there already.

INSERT INTO accounts (partition, account, display_name, time_zone, reopen_resolved, report_lock_days, session_grace,
                      next_case, version, create_time, update_time)
SELECT partition, account, account, 'UTC', false, 3, 15000000, (SELECT max(number) + 1 FROM bench_lines), 1, now(), now()
FROM bench_accounts;

INSERT INTO agents (partition, account, agent, display_name, email, role, disabled, version, create_time, update_time)
SELECT partition, account, 'ann', 'Ann', 'ann@example.com', 1, false, 1, now(), now() FROM bench_accounts;

INSERT INTO contacts (partition, account, contact, display_name, emails, phones, handles, note, version, create_time,
                      update_time)
SELECT partition, account, '1', 'Customer', '{}', '{}', '{}', '', 1, now(), now() FROM bench_accounts;

INSERT INTO channels (partition, account, channel, network, address, version, create_time, update_time)
SELECT partition, account, '1', 'email', 'help@example.com', 1, now(), now() FROM bench_accounts;

CREATE TEMP VIEW lines AS
SELECT partition, account, number AS id, status, subject, words, to_timestamp(update_us / 1000000) AS t
FROM bench_lines JOIN bench_accounts USING (ord);

INSERT INTO cases (partition, account, id, status, status_before_delete, need_reply, priority, message_count,
                   messages_assigned, messages_in_progress, messages_responded, first_open_message, create_time,
                   update_time, status_time, open_time, customer_time, waiting_since, last_send_time, change_time,
                   activity_time, version, change_version, activity_version, merged_into, lock_token, lock_agent,
                   lock_session, owner, contact, channel, external_id, involved, labels, classifications, attributes,
                   subject, subject_key)
SELECT partition, account, id, status, 0, false, 0, 1, 0, 0, 1, 1, t, t, t, t, t, NULL, t, t, t, 1, 1, 1, 0, 0, '', '', 'ann',
       '1', '1', '', '{}', '{}', '{}', '{}', subject, subject
FROM lines;

INSERT INTO messages (partition, account, case_id, number, kind, state, delivery, automatic, redacted, send_time,
                      create_time, author, third_party, external_id, delivery_failure, merged_from, body, attachments)
SELECT partition, account, id, 1, 1, 3, 0, false, false, t, t, 'accounts/' || account || '/contacts/1', '', '', '', 0,
       words, '{}'
FROM lines;

UPDATE partitions SET last_time = now();
DROP TABLE bench_lines CASCADE;
VACUUM ANALYZE;
CHECKPOINT;
