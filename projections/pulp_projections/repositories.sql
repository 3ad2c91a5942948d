-- columns --
r.repo_id, r.pulp_id, r.display_name, r.description, r.notes, r.sync_options, r.publish_options,
r.created_at, r.created_by, r.updated_at, r.updated_by

-- add --
insert into repositories as r
       (repo_id, display_name, description, notes, sync_options, publish_options, created_by, updated_by)
values (%(repo_id)s, %(display_name)s, %(description)s, %(notes)s, %(sync_options)s, %(publish_options)s, %(actor)s,
        %(actor)s)
on conflict do nothing returning {columns};

-- note --
-- Creates the record of a repository for which a sync was submitted, unless it exists or was removed since: a repeated
-- request can return an earlier sync.
insert into repositories (repo_id, created_by, updated_by)
select %(repo_id)s::text, %(actor)s::text, %(actor)s::text
 where not exists (select from removals v
                     join tasks e on e.task_id = v.task_id
                     join tasks t on t.task_id = %(task_id)s
                    where v.resource = %(resource)s and t.partition = e.partition
                      and t.accepted_offset < e.accepted_offset)
on conflict do nothing returning repo_id;

-- adopt --
-- The same for a repository whose sync is in the log but was not noted, because the API's process died in between.
insert into repositories as r (repo_id, created_at, created_by, updated_at, updated_by)
select %(repo_id)s::text, t.accepted_at, t.created_by, t.accepted_at, t.created_by
  from (select task_id, accepted_at from task_resources where resource = %(resource)s and access = 'e'
         order by accepted_at desc, task_id desc limit 10000) k
  join tasks t using (task_id)
  left join removals v on v.resource = %(resource)s
  left join tasks e on e.task_id = v.task_id
 where t.operation = 'sync'
   and (e.task_id is null or e.partition <> t.partition or t.accepted_offset > e.accepted_offset)
 order by k.accepted_at desc, k.task_id desc limit 1
on conflict do nothing returning {columns};

-- adopt_all --
-- The same for all repositories, for a database that was lost and projected again from the log. It takes one index lookup
-- per resource.
with recursive names as (
    (select resource from task_resources where resource >= 'repository:' order by resource limit 1)
    union all
    select (select k.resource from task_resources k where k.resource > n.resource order by k.resource limit 1)
      from names n where n.resource is not null
)
insert into repositories (repo_id, created_at, created_by, updated_at, updated_by)
select substr(n.resource, length('repository:') + 1), s.accepted_at, s.created_by, s.accepted_at, s.created_by
  from names n
  left join removals v on v.resource = n.resource
  left join tasks e on e.task_id = v.task_id
 cross join lateral (
       select t.accepted_at, t.created_by
         from (select task_id, accepted_at from task_resources where resource = n.resource and access = 'e'
                order by accepted_at desc, task_id desc limit 10000) k
         join tasks t on t.task_id = k.task_id
        where t.operation = 'sync'
          and (e.task_id is null or e.partition <> t.partition or t.accepted_offset > e.accepted_offset)
        order by k.accepted_at desc, k.task_id desc limit 1) s
 where starts_with(n.resource, 'repository:') and n.resource <> 'repository:'
   and not exists (select from repositories r where r.repo_id = substr(n.resource, length('repository:') + 1))
on conflict do nothing;

-- of_name --
select {columns} from repositories r where r.repo_id = %(repo_id)s;

-- of_id --
select {columns} from repositories r where r.pulp_id = %(pulp_id)s;

-- locked --
select {columns} from repositories r where r.repo_id = %(repo_id)s for update;

-- change --
update repositories r
   set display_name = %(display_name)s, description = %(description)s, notes = %(notes)s,
       sync_options = %(sync_options)s, publish_options = %(publish_options)s,
       updated_at = now(), updated_by = %(actor)s
 where r.repo_id = %(repo_id)s returning {columns};

-- remove --
delete from repositories r where r.repo_id = %(repo_id)s returning {columns};

-- note_removal --
insert into removals (resource, task_id) values (%(resource)s, %(task_id)s)
on conflict (resource) do update set task_id = excluded.task_id;

-- removal --
select task_id from removals where resource = %(resource)s;

-- forget_removal --
delete from removals where resource = %(resource)s and task_id = %(task_id)s;

-- put_back --
insert into repositories
       (repo_id, pulp_id, display_name, description, notes, sync_options, publish_options, created_at, created_by,
        updated_at, updated_by)
values (%(repo_id)s, %(pulp_id)s, %(display_name)s, %(description)s, %(notes)s, %(sync_options)s, %(publish_options)s,
        %(created_at)s, %(created_by)s, %(updated_at)s, %(updated_by)s)
on conflict do nothing;

-- options --
select sync_options, publish_options from repositories where repo_id = %(repo_id)s;

-- counts --
-- The numbers with these names from the result of a task {result}, whose other values may be large.
(select coalesce(jsonb_object_agg(name, ({result} -> name)::text::jsonb), '{{}}')
   from unnest(%(counted)s::text[]) name where json_typeof({result} -> name) = 'number')

-- newest --
-- For each repository, the newest task of each operation, and the newest successful one; none from before a removal.
select w.resource, w.operation, w.is_successful, t.task_id, t.state, t.accepted_at, t.started_at, t.finished_at,
       left(t.arguments ->> 'feed', 2000), {counts}, t.error ->> 'code', left(t.error ->> 'description', 1000)
  from (select resource, operation, is_successful
          from unnest(%(resources)s::text[]) resource,
               (values ('sync', false), ('sync', true), ('publish', false), ('publish', true)) o (operation, is_successful)) w
  left join removals v on v.resource = w.resource
  left join tasks e on e.task_id = v.task_id
 cross join lateral (
       select t.*
         from (select task_id, accepted_at from task_resources where resource = w.resource and access = 'e'
                order by accepted_at desc, task_id desc limit 10000) k
         join tasks t on t.task_id = k.task_id
        where t.operation = w.operation and (not w.is_successful or t.state = 'successful')
          and (e.task_id is null or e.partition <> t.partition or t.accepted_offset > e.accepted_offset)
        order by k.accepted_at desc, k.task_id desc limit 1) t;

-- versions --
-- The versions of successful syncs, newest first; several may have found the same version unchanged.
select {counts}, t.finished_at
  from (select task_id, accepted_at from task_resources where resource = %(resource)s and access = 'e'
         order by accepted_at desc, task_id desc limit 10000) k
  join tasks t on t.task_id = k.task_id
  left join removals v on v.resource = %(resource)s
  left join tasks e on e.task_id = v.task_id
 where t.operation = 'sync' and t.state = 'successful'
   and (e.task_id is null or e.partition <> t.partition or t.accepted_offset > e.accepted_offset)
 order by k.accepted_at desc, k.task_id desc limit 1000;
