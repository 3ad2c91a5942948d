-- One dispatcher assigns tasks to workers. Workers of earlier releases claim tasks for themselves, by columns that are
-- dropped here: stop them first.
do $$
declare
    live text;
begin
    select string_agg(name, ', ' order by name) into live from workers
     where stopped_at is null and heartbeat_at + make_interval(secs => lease_seconds) > now();
    if live is not null then
        raise exception 'workers of the earlier release are running, and would claim tasks that are assigned to others: stop them first, then try again: %', live;
    end if;
end $$;

-- The dispatcher that was elected last, and its lease. One that was stopped and wakes later finds another epoch, and writes
-- nothing.
create table dispatcher (
    singleton  boolean primary key default true check (singleton),
    epoch      bigint not null,
    holder     text not null default '',                     -- which process, for people
    renewed_at timestamptz not null default 'epoch'
);
insert into dispatcher (epoch) values (0);

-- A slot of a worker: the tasks that are assigned to it run in it one after another. Reservations belong to it, so nobody
-- comes between two of its tasks. Only the dispatcher deletes holds, which have no claim left that is not released.
create table holds (
    hold_id     uuid primary key,
    worker      text not null,
    instance_id uuid not null                                -- of the worker's process
);
create index holds_by_worker on holds (worker, instance_id);

alter table workers add column draining boolean not null default false;  -- it is assigned nothing any more

alter table claims
    add column hold_id uuid,
    add column place   integer not null default 0,           -- in the hold, in the order in which its tasks run
    add column tokens  bigint[] not null default '{}';       -- fencing tokens, in the order of the names of the resources
-- Of all claims: an index of those that are not released would be read as a whole, by statistics from when there were none.
create index claims_by_hold on claims (hold_id);
drop index claims_by_worker;
create index claims_by_worker on claims (worker, instance_id);

insert into holds select attempt_id, worker, instance_id from claims where released_at is null;
update claims set hold_id = attempt_id where released_at is null;
alter table claims add check (released_at is not null or hold_id is not null);
alter table reservations add column hold_id uuid references holds on delete cascade;
update reservations r set hold_id = c.hold_id from claims c where c.task_id = r.task_id;
delete from reservations where hold_id is null;
alter table reservations drop column task_id, alter column hold_id set not null, add primary key (hold_id, resource);
