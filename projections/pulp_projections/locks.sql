-- number_of_processor --
select hashtextextended('pulp-processor ' || %(instance)s, 0);

-- try --
select pg_try_advisory_lock(%(number)s);

-- until_commit --
select pg_advisory_xact_lock(%(number)s);

-- holder --
-- Postgres shows the two halves of the lock's number as classid and objid.
select a.application_name || coalesce(' from ' || host(a.client_addr), '')
  from pg_locks l join pg_stat_activity a using (pid)
 where l.locktype = 'advisory' and l.granted and l.objsubid = 1
   and l.database = (select oid from pg_database where datname = current_database())
   and (l.classid::bigint << 32) | l.objid::bigint = %(number)s;
