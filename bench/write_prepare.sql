-- Accounts with open cases, each with one customer message that has been answered, straight into the tables of the case service.
-- psql -v cases=200000; the table bench_accounts (ord, account, partition) is there already.

INSERT INTO accounts (partition, account, display_name, time_zone, reopen_resolved, report_lock_days, session_grace,
                      next_case, version, create_time, update_time)
SELECT partition, account, account, 'UTC', false, 90, 15000000,
       :cases / (SELECT count(*) FROM bench_accounts) + 1, 1, now(), now()
FROM bench_accounts;

INSERT INTO agents (partition, account, agent, display_name, email, role, disabled, version, create_time, update_time)
SELECT partition, account, 'ann', 'Ann', 'ann@example.com', 1, false, 1, now(), now() FROM bench_accounts;

INSERT INTO contacts (partition, account, contact, display_name, emails, phones, handles, note, version, create_time,
                      update_time)
SELECT partition, account, '1', 'Bob', '{bob@example.com}', '{}', '{}', '', 1, now(), now() FROM bench_accounts;

INSERT INTO channels (partition, account, channel, network, address, version, create_time, update_time)
SELECT partition, account, '1', 'email', 'help@example.com', 1, now(), now() FROM bench_accounts;

CREATE TEMP TABLE new_cases AS
SELECT partition, account, id, now() - id * interval '1 second' AS t
FROM bench_accounts, generate_series(1, :cases / (SELECT count(*) FROM bench_accounts)) AS id;

INSERT INTO cases (partition, account, id, status, status_before_delete, need_reply, priority, message_count,
                   messages_assigned, messages_in_progress, messages_responded, first_open_message, create_time,
                   update_time, status_time, open_time, customer_time, waiting_since, last_send_time, change_time,
                   activity_time, version, change_version, activity_version, merged_into, lock_token, lock_agent,
                   lock_session, owner, contact, channel, external_id, involved, labels, classifications, attributes,
                   subject, subject_key)
SELECT partition, account, id, 2, 0, false, 0, 1, 0, 0, 1, 1, t, t, t, t, t, NULL, t, t, t, 1, 1, 1, 0, 0, '', '', 'ann',
       '1', '1', '', '{}', '{billing}', '{}', '{}', 'Question number ' || id, 'question number ' || id
FROM new_cases;

INSERT INTO messages (partition, account, case_id, number, kind, state, delivery, automatic, redacted, send_time,
                      create_time, author, third_party, external_id, delivery_failure, merged_from, body, attachments)
SELECT partition, account, id, 1, 1, 3, 0, false, false, t, t, 'accounts/' || account || '/contacts/1', '', '', '', 0,
       repeat('The printer prints only every other page. ', 4), '{}'
FROM new_cases;

INSERT INTO contact_cases (partition, account, contact, channel, case_id)
SELECT partition, account, '1', '1', id FROM new_cases;

INSERT INTO events (partition, position, account, case_id, kind, time, data)
SELECT partition, row_number() OVER (PARTITION BY partition ORDER BY account, id), account, id, 1, t, repeat('e', 200)::bytea
FROM new_cases;

UPDATE partitions p SET head = (SELECT coalesce(max(position), 0) FROM events e WHERE e.partition = p.partition),
                        last_time = now();

VACUUM ANALYZE;
CHECKPOINT;
