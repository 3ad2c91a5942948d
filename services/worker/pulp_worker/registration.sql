-- register --
-- A worker's name belongs to one process at a time: another one may take it when the first has stopped, or its lease
-- has run out. The row that this process wrote itself (the answer to it was lost, or its lease ran out) is its own.
insert into workers as w (name, instance_id, host, pid, queues, operations, declarations, concurrency, versions,
                          lease_seconds)
values (%(name)s, %(instance_id)s, %(host)s, %(pid)s, %(queues)s, %(operations)s, %(declarations)s, %(concurrency)s,
        %(versions)s, %(lease_s)s)
on conflict (name) do update
   set instance_id = excluded.instance_id, host = excluded.host, pid = excluded.pid, queues = excluded.queues,
       operations = excluded.operations, declarations = excluded.declarations, concurrency = excluded.concurrency,
       versions = excluded.versions, lease_seconds = excluded.lease_seconds, started_at = now(), heartbeat_at = now(), stopped_at = null
 where w.stopped_at is not null or w.instance_id in (excluded.instance_id, %(previous)s)
    or w.heartbeat_at + make_interval(secs => w.lease_seconds) < now()
returning timeline();

-- holder --
select host, pid, instance_id, heartbeat_at, lease_seconds from workers where name = %(name)s;

-- first_declaration --
insert into operations (name, cancellable, description, resources, tags, arguments, requires, digest, package, version,
                        registered_by)
values (%(name)s, %(cancellable)s, %(description)s, %(resources)s, %(tags)s, %(arguments)s, %(requires)s, %(digest)s,
        %(package)s, %(version)s, %(worker)s)
on conflict (name) do nothing;

-- registered --
-- What counts of an operation, locked, and whether another worker that is alive declares just that.
select digest, package, version, registered_by,
       exists (select from workers w
                where w.name <> %(worker)s and w.declarations ->> o.name = o.digest and w.stopped_at is null
                  and w.heartbeat_at + make_interval(secs => w.lease_seconds) > now())
  from operations o where name = %(name)s for update;

-- replace_declaration --
update operations
   set cancellable = %(cancellable)s, description = %(description)s, resources = %(resources)s, tags = %(tags)s,
       arguments = %(arguments)s, requires = %(requires)s, digest = %(digest)s, package = %(package)s,
       version = %(version)s, registered_by = %(worker)s, registered_at = now()
 where name = %(name)s;

-- heartbeat --
-- With the operations of which another declaration counts than this worker's.
update workers w set heartbeat_at = now()
 where name = %(name)s and instance_id = %(instance_id)s and stopped_at is null
returning timeline(), array(select o.name from operations o where w.declarations ->> o.name <> o.digest);

-- unregister --
update workers set stopped_at = now() where name = %(name)s and instance_id = %(instance_id)s;

-- forget --
-- Delete workers that stopped, or were lost, longer ago than `forget_s`. A row to which a claim refers stays: the claim's
-- lease is read from it. Rows that another worker is deleting at the same time are skipped.
delete from workers
 where name in (select w.name from workers w
                 where coalesce(w.stopped_at, w.heartbeat_at + make_interval(secs => w.lease_seconds))
                       < now() - make_interval(secs => %(forget_s)s)
                   and not exists (select from claims c where c.worker = w.name)
                   for update skip locked);
