-- What users set on repositories, and the options that a sync or a publish takes from it. Not part of a generation: a
-- rebuild leaves it alone.

create table repositories (
    repo_id         text primary key check (repo_id <> ''),
    pulp_id         uuid not null unique default gen_random_uuid(),
    display_name    text,
    description     text,
    notes           jsonb not null default '{}',
    sync_options    jsonb not null default '{}',  -- arguments of `sync` that a submission may leave out, the feed among them
    publish_options jsonb not null default '{}',  -- the same of `publish`
    created_at      timestamptz not null default now(),
    created_by      text not null,                -- as events name users
    updated_at      timestamptz not null default now(),
    updated_by      text not null
);

-- The task that removed what a resource (TYPE:ID) named. Tasks before it say nothing about what has the name now.
create table removals (
    resource text primary key,
    task_id  uuid not null
);

-- Every repository that was ever synced has a record from now on.
do $$
begin
    if to_regclass('public.tasks') is not null and to_regclass('public.task_resources') is not null then
        insert into repositories (repo_id, created_at, created_by, updated_at, updated_by)
        select distinct on (k.resource)
               substr(k.resource, length('repository:') + 1), t.accepted_at, t.created_by, t.accepted_at, t.created_by
          from task_resources k
          join tasks t on t.task_id = k.task_id
         where starts_with(k.resource, 'repository:') and k.resource <> 'repository:'
           and k.access = 'e' and t.operation = 'sync'
         order by k.resource, t.accepted_at, t.task_id
            on conflict do nothing;
    end if;
end $$;
