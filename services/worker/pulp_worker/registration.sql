-- register --
-- A worker's name belongs to one process at a time: another one may take it once the first has stopped, or its lease
-- has run out. A process may always take a row that it wrote itself (the answer was lost, or its lease ran out).
insert into workers as w (name, instance_id, host, pid, queues, operations, declarations, concurrency, versions,
                          lease_seconds, draining)
values (%(name)s, %(instance_id)s, %(host)s, %(pid)s, %(queues)s, %(operations)s, %(declarations)s, %(concurrency)s,
        %(versions)s, %(lease_s)s, %(draining)s)
on conflict (name) do update
   set instance_id = excluded.instance_id, host = excluded.host, pid = excluded.pid, queues = excluded.queues,
       operations = excluded.operations, declarations = excluded.declarations, concurrency = excluded.concurrency,
       versions = excluded.versions, lease_seconds = excluded.lease_seconds, started_at = now(), heartbeat_at = now(), stopped_at = null,
       draining = excluded.draining, resting = false, listening = true
 where w.stopped_at is not null or w.instance_id in (excluded.instance_id, %(previous)s)
    or w.heartbeat_at + make_interval(secs => w.lease_seconds) < now()
returning timeline();

-- holder --
select host, pid, instance_id, heartbeat_at, lease_seconds from workers where name = %(name)s;

-- declared_alike --
-- The operations whose registered declaration is exactly this worker's: nothing is written or locked for them.
select name from operations join unnest(%(names)s::text[], %(digests)s::text[]) as mine (name, digest) using (name, digest);

-- first_declaration --
insert into operations (name, cancellable, description, resources, tags, arguments, requires, retry, deadline_seconds,
                        digest, package, version, registered_by)
values (%(name)s, %(cancellable)s, %(description)s, %(resources)s, %(tags)s, %(arguments)s, %(requires)s, %(retry)s,
        %(deadline_seconds)s, %(digest)s, %(package)s, %(version)s, %(worker)s)
on conflict (name) do nothing;

-- registered --
-- The declaration of an operation that applies, locked, and whether another live worker declares exactly that.
select digest, package, version, registered_by,
       exists (select from workers w
                where w.name <> %(worker)s and w.declarations ->> o.name = o.digest and w.stopped_at is null
                  and w.heartbeat_at + make_interval(secs => w.lease_seconds) > now())
  from operations o where name = %(name)s for update;

-- replace_declaration --
update operations
   set cancellable = %(cancellable)s, description = %(description)s, resources = %(resources)s, tags = %(tags)s,
       arguments = %(arguments)s, requires = %(requires)s, retry = %(retry)s, deadline_seconds = %(deadline_seconds)s,
       digest = %(digest)s, package = %(package)s, version = %(version)s, registered_by = %(worker)s, registered_at = now()
 where name = %(name)s;

-- heartbeat --
-- Also returns the operations with a declaration other than this worker's, the time of Postgres's clock, whether
-- anything is assigned to this process, whether it may rest, and whether it is known to listen.
update workers w set heartbeat_at = now(), draining = %(draining)s
 where name = %(name)s and instance_id = %(instance_id)s and stopped_at is null
returning timeline(), array(select o.name from operations o where w.declarations ->> o.name <> o.digest),
          extract(epoch from clock_timestamp())::double precision,
          exists (select from holds h where h.worker = w.name and h.instance_id = w.instance_id),
          w.resting, w.listening;

-- rest --
-- This process stops listening; returns no row if the dispatcher has woken it meanwhile.
update workers set listening = false
 where name = %(name)s and instance_id = %(instance_id)s and resting
returning name;

-- listen --
with woken as (
    update workers set listening = true where name = %(name)s and instance_id = %(instance_id)s returning name
)
select pg_notify('pulp_dispatch', 'workers') from woken;

-- drain --
with drained as (
    update workers set draining = true
     where name = %(name)s and instance_id = %(instance_id)s and not draining
 returning name
)
select pg_notify('pulp_dispatch', 'workers') from drained;

-- unregister --
with stopped as (
    update workers set stopped_at = now() where name = %(name)s and instance_id = %(instance_id)s returning name
)
select pg_notify('pulp_dispatch', 'workers') from stopped;

-- notify --
-- The dispatcher may have tasks for a worker that has just registered.
select pg_notify('pulp_dispatch', 'workers');

-- forget --
-- Delete workers that stopped, or were lost, longer ago than `forget_s`. A row to which a claim refers stays: the claim's
-- lease is read from it. Rows that another worker is deleting at the same time are skipped.
delete from workers
 where name in (select w.name from workers w
                 where coalesce(w.stopped_at, w.heartbeat_at + make_interval(secs => w.lease_seconds))
                       < now() - make_interval(secs => %(forget_s)s)
                   and not exists (select from claims c where c.worker = w.name)
                   for update skip locked);
