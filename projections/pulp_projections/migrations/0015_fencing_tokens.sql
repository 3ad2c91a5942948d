-- The next fencing token. It is larger than any before it, also after a failover: its upper bits are the timeline, since
-- a server that takes over may have lost the sequence's last values.
create function next_fencing_token() returns bigint language sql volatile
    as $$select (('x' || timeline())::bit(32)::bigint << 40) + nextval('fencing_tokens')$$;
