-- How much of the system each user may use, where it differs from the settings for the role.

create table quotas (
    name  text primary key references users on delete cascade on update cascade,
    quota text not null check (quota <> '')  -- as in the settings: `rate=20/s unfinished=100`; it counts key by key
);

-- The submissions that each user has left, shared by all API processes: each takes some at a time.
create unlogged table quota_buckets (
    name      text not null,
    bucket    text not null,                 -- submissions, bytes
    tokens    double precision not null,
    granted   double precision not null,     -- what was taken last
    filled_at timestamptz not null,
    primary key (name, bucket)
) with (fillfactor = 50);

-- What workers may read about users: how many tasks of each may run at once. No passwords.
create view user_quotas as
select u.name, u.role, q.quota from users u left join quotas q using (name);

-- What can be run where, and until when each worker that can was there, including workers that are gone. A worker of a
-- release that does not register what it offers may run any operation.
create view offers as
select q.queue, o.operation, coalesce(w.stopped_at, w.heartbeat_at + make_interval(secs => w.lease_seconds)) as seen_at
  from workers w
 cross join lateral unnest(w.queues) as q (queue)
 cross join lateral unnest(coalesce(w.operations, array(select name from operations))) as o (operation);

-- Large values are stored uncompressed from now on, so that their size is known without reading them (see
-- read_model.sql). Those that were written before are compressed until their task changes, or the read model is
-- rebuilt.
do $$
declare
    made_in text;
begin
    for made_in in select 'generation_' || generation from generations order by generation loop
        if to_regclass(made_in || '.tasks') is not null then
            execute format(
                'alter table %I.tasks'
                ' alter arguments set storage external, alter resources set storage external,'
                ' alter progress set storage external, alter result set storage external,'
                ' alter error set storage external, alter tags set storage external,'
                ' alter exclusive_resources set storage external, alter shared_resources set storage external,'
                ' alter depends_on set storage external', made_in);
        end if;
    end loop;
end $$;
