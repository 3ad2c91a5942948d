-- keep_alive --
-- So that Postgres notices the death of the other machine and gives the lock to the next one.
set tcp_keepalives_idle = 5;
set tcp_keepalives_interval = 5;
set tcp_keepalives_count = 2;

-- take --
select pg_try_advisory_lock(hashtextextended('pulp-processor ' || %(name)s, 0));

-- holder --
-- Postgres shows the two halves of the lock's number as classid and objid.
select a.application_name || coalesce(' from ' || host(a.client_addr), '')
  from pg_locks l join pg_stat_activity a using (pid)
 where l.locktype = 'advisory' and l.granted and l.objsubid = 1
   and l.database = (select oid from pg_database where datname = current_database())
   and (l.classid::bigint << 32) | l.objid::bigint = hashtextextended('pulp-processor ' || %(name)s, 0);
