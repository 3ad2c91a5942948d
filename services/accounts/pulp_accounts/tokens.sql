-- forget_old --
-- Tokens that ended long ago; the name of an expired token is free again.
with ended as (delete from tokens where least(expires_at, revoked_at) < now() - interval '30 days')
update tokens set revoked_at = expires_at
 where user_name = %(user)s and name = %(name)s and revoked_at is null and expires_at <= now()
   and expires_at >= now() - interval '30 days';

-- count --
select count(*) from tokens where user_name = %(user)s and revoked_at is null and expires_at > now();

-- create --
-- Returns no row if a valid token of the user has the name.
insert into tokens (token_id, user_name, name, token_hash, role, expires_at)
values (%(token_id)s, %(user)s, %(name)s, %(token_hash)s, %(role)s, now() + make_interval(secs => %(lifetime_s)s))
on conflict (user_name, name) where revoked_at is null do nothing
returning token_id, user_name, name, role, created_at, expires_at, last_used_at, revoked_at, revoked_by, true;

-- list --
select token_id, user_name, name, role, created_at, expires_at, last_used_at, revoked_at, revoked_by,
       revoked_at is null and expires_at > now()
  from tokens
 where %(user)s::text is null or user_name = %(user)s::text
 order by user_name, created_at, token_id;

-- read --
select token_id, user_name, name, role, created_at, expires_at, last_used_at, revoked_at, revoked_by,
       revoked_at is null and expires_at > now()
  from tokens where token_id = %(token_id)s;

-- revoke --
update tokens set revoked_at = now(), revoked_by = %(by)s where token_id = %(token_id)s and revoked_at is null
returning token_id, user_name, name, role, created_at, expires_at, last_used_at, revoked_at, revoked_by, false;

-- login --
select t.token_id, t.user_name, t.name, t.role, t.created_at, t.expires_at, t.last_used_at, t.revoked_at, t.revoked_by,
       t.revoked_at is null and t.expires_at > now(), u.role
  from tokens t join users u on u.name = t.user_name
 where t.token_hash = %(token_hash)s;

-- note_use --
update tokens set last_used_at = now() where token_id = %(token_id)s;

-- digest --
select token_hash from tokens where token_id = %(token_id)s;
