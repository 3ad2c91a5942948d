-- What a caller may send instead of a password. A token and the id of a session have 256 random bits, so a plain hash is enough.

create table tokens (
    token_id     uuid primary key,
    user_name    text not null references users on delete cascade on update cascade,
    name         text not null check (name <> ''),
    token_hash   bytea not null unique,      -- SHA-256
    role         text not null check (role in ('viewer', 'operator', 'submitter', 'admin')),  -- at most: the user's role counts too
    created_at   timestamptz not null default now(),
    expires_at   timestamptz not null,
    last_used_at timestamptz,
    revoked_at   timestamptz,
    revoked_by   text                        -- as events name users
);
create unique index tokens_by_name on tokens (user_name, name) where revoked_at is null;

-- Browsers that are logged in.
create table sessions (
    session_hash  bytea primary key,         -- SHA-256
    user_name     text not null references users on delete cascade on update cascade,
    password_hash text not null,             -- the user's at the login: another password ends the session
    created_at    timestamptz not null default now(),
    expires_at    timestamptz not null
);
create index sessions_by_user on sessions (user_name, created_at);
create index sessions_by_end on sessions (expires_at);

-- Who may do what with one task, besides its author and those whose role allows it. A rebuild leaves it alone.
create table task_roles (
    task_id   uuid not null,
    user_name text not null references users on delete cascade on update cascade,
    role      text not null check (role in ('owner', 'viewer')),
    primary key (task_id, user_name, role)
);
create index task_roles_by_user on task_roles (user_name, task_id);

-- The issuer that vouches for a user who has no password; null: the user has one.
alter table users add column issuer text check (issuer <> '');

-- Notes a user for whom an issuer vouches; false if the name is that of another kind of user. The API may call it, and
-- cannot create or change a user with a password by it.
create function vouch_user(user_name text, user_role text, user_issuer text) returns boolean
    language plpgsql security definer set search_path = public, pg_temp as $$
begin
    insert into users (name, password_hash, role, issuer) values (user_name, '!', user_role, user_issuer)
    on conflict (name) do update set role = excluded.role, changed_at = now()
        where users.issuer = excluded.issuer and users.role <> excluded.role;
    return exists (select from users where name = user_name and issuer = user_issuer);
end $$;
revoke execute on function vouch_user(text, text, text) from public;
