-- What a service that leaves everything to the database would run for AddMessage: one function, prepared, a
-- transaction of its own a message. The same rows in the same tables with the same indexes. The partition's row comes last
-- but for the event, so that it is held as shortly as a dense feed in commit order allows.

CREATE FUNCTION peer_add_message(p_ord int, p_case bigint, p_request text, p_body text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    a bench_accounts;
    t timestamptz := clock_timestamp();
    v_number integer;
    v_position bigint;
BEGIN
    SELECT * INTO a FROM bench_accounts WHERE ord = p_ord;
    UPDATE cases SET need_reply = false, message_count = message_count + 1, messages_responded = 1,
                     messages_in_progress = 0, update_time = t, waiting_since = NULL,
                     first_reply_time = coalesce(first_reply_time, t), last_send_time = t, activity_time = t,
                     version = version + 1, activity_version = activity_version + 1
    WHERE partition = a.partition AND account = a.account AND id = p_case
    RETURNING message_count INTO v_number;
    INSERT INTO messages (partition, account, case_id, number, kind, state, delivery, automatic, redacted, send_time,
                          create_time, author, third_party, external_id, delivery_failure, merged_from, body,
                          attachments)
    VALUES (a.partition, a.account, p_case, v_number, 2, 0, 1, false, false, t, t,
            'accounts/' || a.account || '/agents/ann', '', '', '', 0, p_body, '{}');
    INSERT INTO request_ids (partition, account, request_id, fingerprint, method, resource, case_id, number, position,
                             time)
    VALUES (a.partition, a.account, p_request, repeat('f', 16)::bytea, 11, '', p_case, v_number, 0, t);
    UPDATE partitions SET head = head + 1, last_time = greatest(t, last_time) WHERE partition = a.partition
    RETURNING head INTO v_position;
    INSERT INTO outgoing (partition, account, channel, position, case_id, number)
    VALUES (a.partition, a.account, '1', v_position, p_case, v_number);
    INSERT INTO events (partition, position, account, case_id, kind, time, data)
    VALUES (a.partition, v_position, a.account, p_case, 10, t, repeat('e', 200)::bytea);
    RETURN v_position;
END
$$;
