-- What a service that leaves everything to the database would run for a closing: one function, prepared, a transaction of
-- its own each. The same rows in the same tables with the same indexes; the partition's row comes last but for the event.

CREATE FUNCTION peer_close(p_case bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    a bench_accounts;
    t timestamptz := clock_timestamp();
    v_position bigint;
BEGIN
    SELECT b.* INTO a FROM bench_accounts b WHERE ord = p_case % (SELECT count(*) FROM bench_accounts) + 1;
    UPDATE cases SET status = 5, close_time = t, status_time = t, update_time = t, version = version + 1
    WHERE partition = a.partition AND account = a.account AND id = p_case AND status = 4;
    INSERT INTO request_ids (partition, account, request_id, fingerprint, method, resource, case_id, number, position,
                             time)
    VALUES (a.partition, a.account, 'sla-close-' || p_case || '-1-1', repeat('f', 16)::bytea, 11, '', p_case, 0, 0, t);
    UPDATE case_counts SET cases = cases - 1
    WHERE partition = a.partition AND account = a.account AND kind = 1 AND agent = '' AND slot = 4;
    UPDATE partitions SET head = head + 1, last_time = greatest(t, last_time) WHERE partition = a.partition
    RETURNING head INTO v_position;
    INSERT INTO events (partition, position, account, case_id, kind, time, data)
    VALUES (a.partition, v_position, a.account, p_case, 7, t, repeat('e', 200)::bytea);
    RETURN v_position;
END
$$;
CREATE SEQUENCE peer_next;
