-- Since when a target counts is known of each one by itself: a case that ended before any target held for it has none, also
-- when others of the kind were there.

ALTER TABLE sla.policies ADD COLUMN targets_since bigint[] NOT NULL DEFAULT '{}';  -- as in terms, business time, microseconds

UPDATE sla.policies
    SET targets_since = array_fill(
        (extract(epoch FROM greatest(first_reply_since, next_reply_since, resolution_since)) * 1000000)::bigint, ARRAY[100])
    WHERE coalesce(first_reply_since, next_reply_since, resolution_since) IS NOT NULL;

ALTER TABLE sla.policies DROP COLUMN first_reply_since, DROP COLUMN next_reply_since, DROP COLUMN resolution_since;
