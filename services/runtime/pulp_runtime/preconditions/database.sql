-- facts --
-- One statement that reads only what every role may read. A setting that this version of Postgres lacks is null.
select current_database() as name,
       current_user as role,
       pg_encoding_to_char(d.encoding) as encoding,
       pg_is_in_recovery() as is_standby,
       current_setting('default_transaction_read_only')::boolean as is_read_only,
       current_setting('fsync')::boolean as has_fsync,
       current_setting('full_page_writes')::boolean as has_full_page_writes,
       current_setting('synchronous_commit') <> 'off' as has_synchronous_commit,
       current_setting('autovacuum')::boolean as has_autovacuum,
       exists (select from pg_extension where extname = 'btree_gist') as has_extension,
       exists (select from pg_available_extensions where name = 'btree_gist') as can_get_extension,
       has_database_privilege(d.oid, 'CREATE') as may_create_in_database,
       has_schema_privilege('public', 'CREATE') as may_create_in_public,
       m.oid is not null as has_tables,
       coalesce(has_table_privilege(to_regclass('public.workers'), 'SELECT'), false) as may_read_workers,
       coalesce(pg_has_role(m.relowner, 'USAGE'), false) as owns_tables,
       (select pg_get_userbyid(relowner) from pg_class where oid = m.oid) as owner,
       array(select n.nspname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
              where c.relname = 'schema_migrations' and n.nspname not in ('public', 'information_schema')
                and n.nspname !~ '^(pg_|generation_)') as elsewhere,
       m.oid is null or exists (select from pg_constraint where conname = 'reservations_conflict') as is_guarded,
       extract(epoch from clock_timestamp())::double precision as clock_s
  from pg_database d
  left join pg_class m on m.oid = to_regclass('public.schema_migrations')
 where d.datname = current_database();

-- applied --
select name from public.schema_migrations;

-- collation --
-- For Postgres 15 and later.
select datcollversion, pg_database_collation_actual_version(oid)
  from pg_database where datname = current_database();
