-- Users who were removed: their tasks still name them.
create table former_users (
    name       text primary key,
    removed_at timestamptz not null default now()
);
