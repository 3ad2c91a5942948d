-- When a user was changed (the password or the role), and when one of them last signed in.
alter table users
    add column changed_at    timestamptz not null default now(),
    add column last_login_at timestamptz;
update users set changed_at = created_at;

-- Whether an administrator was ever created: what a person has changed since then is not created again.
create table first_admin (
    singleton boolean primary key default true check (singleton),
    made_at   timestamptz not null default now()
);
insert into first_admin (made_at) select min(created_at) from users having count(*) > 0;
