-- limits --
-- A limit that is not set, or that does not bind this role, is null. The connections in use include some that serve no
-- client.
select current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer
           - coalesce(current_setting('reserved_connections', true)::integer, 0),
       (select sum(numbackends) from pg_stat_database)::integer,
       r.rolname::text,
       case when r.rolconnlimit >= 0 and not r.rolsuper then r.rolconnlimit end,
       (select count(*) from pg_stat_activity where usesysid = r.oid)::integer,
       d.datname::text,
       case when d.datconnlimit >= 0 and not r.rolsuper then d.datconnlimit end,
       (select numbackends from pg_stat_database where datid = d.oid)
  from pg_database d, pg_roles r
 where d.datname = current_database() and r.rolname = current_user;

-- workers --
-- How many workers are online, and how many connections workers have.
select (select count(*) from workers
         where stopped_at is null and heartbeat_at + make_interval(secs => lease_seconds) > now()),
       (select count(*) from pg_stat_activity
         where datname = current_database() and application_name like 'pulp-worker/%');
