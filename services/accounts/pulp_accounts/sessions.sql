-- end_old --
-- The expired ones of all users, and this user's oldest beyond `most`, not counting the one that begins.
delete from sessions
 where expires_at <= now()
    or session_hash in (select session_hash from sessions where user_name = %(user)s
                         order by created_at desc, session_hash offset %(most)s - 1);

-- begin --
-- Returns no row for an unknown user.
insert into sessions (session_hash, user_name, password_hash, expires_at)
select %(session_hash)s, name, password_hash, now() + make_interval(secs => %(lifetime_s)s) from users where name = %(user)s
returning user_name;

-- read --
-- A hash of an earlier release is replaced at a login, which ends the sessions as well.
select u.name, u.role
  from sessions s join users u on u.name = s.user_name and u.password_hash = s.password_hash
 where s.session_hash = %(session_hash)s and s.expires_at > now();

-- end --
delete from sessions where session_hash = %(session_hash)s;
