-- Who may do what with one schedule, besides its author and the administrators; as task_roles.

create table schedule_roles (
    schedule_id uuid not null,
    user_name   text not null references users on delete cascade on update cascade,
    role        text not null check (role in ('owner', 'viewer')),
    primary key (schedule_id, user_name, role)
);
create index schedule_roles_by_user on schedule_roles (user_name, schedule_id);
