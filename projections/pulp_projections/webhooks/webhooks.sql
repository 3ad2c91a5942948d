-- topic --
select name, topic_id, next_offset from subscription_topic;

-- adopt --
-- The topic whose events these tables hold.
insert into subscription_topic (name, topic_id, next_offset) values (%(name)s, %(topic_id)s, 0) on conflict do nothing;

-- fence --
-- No row: somebody else has projected these records meanwhile.
update subscription_topic set next_offset = %(end)s where next_offset = %(expected)s and topic_id = %(topic_id)s
returning next_offset;

-- columns --
s.subscription_id, s.endpoint, s.state, s.reason, s.version, s.secret_id, s.previous_secret_id, s.previous_until, s.created_by,
s.created_at, s.updated_by, s.updated_at, s.removed_at, s.last_offset

-- one --
select {columns} from subscriptions s where s.subscription_id = %(subscription_id)s;

-- is_name_taken --
select exists (select from subscriptions
                where name = %(name)s and removed_at is null and subscription_id <> %(subscription_id)s);

-- put --
insert into subscriptions (subscription_id, name, endpoint, state, reason, version, secret_id, previous_secret_id, previous_until,
                           created_by, created_at, updated_by, updated_at, removed_at, last_offset)
values (%(subscription_id)s, %(name)s, %(endpoint)s, %(state)s, %(reason)s, %(version)s, %(secret_id)s, %(previous_secret_id)s,
        %(previous_until)s, %(created_by)s, %(created_at)s, %(updated_by)s, %(updated_at)s, %(removed_at)s, %(last_offset)s)
on conflict (subscription_id) do update
   set name = excluded.name, endpoint = excluded.endpoint, state = excluded.state, reason = excluded.reason,
       version = excluded.version, secret_id = excluded.secret_id, previous_secret_id = excluded.previous_secret_id,
       previous_until = excluded.previous_until, updated_by = excluded.updated_by, updated_at = excluded.updated_at,
       removed_at = excluded.removed_at, last_offset = excluded.last_offset;

-- event --
insert into subscription_events (record_offset, subscription_id, event_id, type, broker_time, actor, effect, event)
values (%(record_offset)s, %(subscription_id)s, %(event_id)s, %(type)s, %(broker_time)s, %(actor)s, %(effect)s, %(event)s);

-- begin_progress --
-- No row: the subscription already has its place, for example when the tables are filled again.
insert into subscription_progress (subscription_id, topic_id, placed_by)
values (%(subscription_id)s, %(topic_id)s, %(record_offset)s)
on conflict do nothing returning epoch;

-- move_progress --
-- No row: the place was moved by this event, or a later one, already.
update subscription_progress
   set topic_id = %(topic_id)s, placed_by = %(record_offset)s, epoch = epoch + 1, failures = 0, retry_at = null
 where subscription_id = %(subscription_id)s and placed_by < %(record_offset)s
returning epoch;

-- forget_cursors --
delete from subscription_cursors where subscription_id = %(subscription_id)s;

-- forget_parked --
delete from subscription_parked where subscription_id = %(subscription_id)s;

-- forget_progress --
-- Before its cursors: a deliverer that stores its progress now ends first, and later ones find no row.
delete from subscription_progress where subscription_id = %(subscription_id)s;

-- forget_deliveries --
delete from subscription_deliveries where subscription_id = %(subscription_id)s;

-- end_retries --
-- Nobody retries these from their old place: those that are delivered again begin anew.
update subscription_deliveries set outcome = 'given-up', next_at = null
 where subscription_id = %(subscription_id)s and outcome = 'retried';

-- place --
insert into subscription_cursors (subscription_id, partition, next_offset)
select %(subscription_id)s, n - 1, next_offset from unnest(%(offsets)s::bigint[]) with ordinality as o (next_offset, n);

-- resume --
update subscription_progress set failures = 0, retry_at = null where subscription_id = %(subscription_id)s;

-- forget_secrets --
-- Secrets that sign nothing any more: the replaced one, and earlier ones whose event was never appended. A later one belongs to an
-- event that is not projected yet, also when the tables are filled again.
delete from subscription_secrets
 where subscription_id = %(subscription_id)s and secret_id <> all (%(kept)s::uuid[])
   and (%(is_removed)s or secret_id = %(replaced)s
        or created_at < (select created_at from subscription_secrets where secret_id = %(previous)s) - interval '1 hour');

-- begin_test --
insert into subscription_deliveries (subscription_id, event_id, event_type, outcome, attempts)
values (%(subscription_id)s, %(event_id)s, %(event_type)s, 'pending', 0)
on conflict do nothing;

-- forget --
-- The topic first: it waits for a projection that is under way. Cursors, secrets and deliveries stay.
delete from subscription_topic;
delete from subscriptions;
delete from subscription_events;

-- effect --
select effect from subscription_events where record_offset = %(record_offset)s;

-- list --
select {columns}, count(*) over () from subscriptions s
 where s.removed_at is null and {conditions}
 order by {order}
 limit %(limit)s offset %(offset)s;

-- count --
select count(*) from subscriptions s where s.removed_at is null and {conditions};

-- all --
select {columns} from subscriptions s where s.removed_at is null;

-- progress --
select p.subscription_id, p.topic_id, p.epoch, p.failures, p.retry_at, p.delivered, p.last_success_at, p.last_failure_at,
       p.last_error,
       (select coalesce(json_object_agg(c.partition, c.next_offset), '{}') from subscription_cursors c
         where c.subscription_id = p.subscription_id),
       (select count(*) from subscription_parked k where k.subscription_id = p.subscription_id)
  from subscription_progress p where p.subscription_id = any (%(subscription_ids)s);

-- parked --
select task_id, partition, record_offset, error, parked_at from subscription_parked
 where subscription_id = %(subscription_id)s order by partition, record_offset limit %(most)s;

-- deliveries --
select d.delivery_id, d.partition, d.record_offset, d.event_id, d.event_type, d.task_id, d.outcome, d.attempts, d.status, d.error,
       d.took_ms, d.first_at, d.last_at, d.next_at
  from subscription_deliveries d where d.subscription_id = %(subscription_id)s and {conditions}
 order by d.last_at desc, d.delivery_id desc
 limit %(limit)s offset %(offset)s;

-- count_deliveries --
select count(*) from subscription_deliveries d where d.subscription_id = %(subscription_id)s and {conditions};

-- test --
select d.delivery_id, d.partition, d.record_offset, d.event_id, d.event_type, d.task_id, d.outcome, d.attempts, d.status, d.error,
       d.took_ms, d.first_at, d.last_at, d.next_at
  from subscription_deliveries d where d.event_id = %(event_id)s and d.partition is null;

-- add_secret --
insert into subscription_secrets (secret_id, subscription_id, secret)
values (%(secret_id)s, %(subscription_id)s, %(secret)s);

-- secrets --
select secret_id, secret from subscription_secrets where secret_id = any (%(secret_ids)s);

-- waiting --
-- For each subscription: how many events of the log are after its place, and when the broker received the first of
-- them.
select s.name, s.state, s.reason,
       coalesce(sum(p.next_offset - c.next_offset) filter (where p.next_offset > c.next_offset), 0)::bigint,
       extract(epoch from now() - min(e.broker_time))::float8,
       (select count(*) from subscription_parked k where k.subscription_id = s.subscription_id)
  from subscriptions s
  left join subscription_cursors c on c.subscription_id = s.subscription_id
  left join positions p on p.partition = c.partition
  left join lateral (select broker_time from task_events e
                      where e.partition = c.partition and e.record_offset >= c.next_offset and c.next_offset < p.next_offset
                      order by e.record_offset limit 1) e on true
 where s.removed_at is null
 group by s.subscription_id, s.name, s.state, s.reason
 order by s.name;

-- take_over --
-- From now on only the holder of this epoch writes.
update subscription_progress set epoch = epoch + 1 where subscription_id = %(subscription_id)s
returning topic_id, epoch, failures, retry_at;

-- cursors --
select partition, next_offset, ahead from subscription_cursors where subscription_id = %(subscription_id)s;

-- failed_attempts --
select partition, record_offset, attempts from subscription_deliveries
 where subscription_id = %(subscription_id)s and outcome = 'retried' and partition is not null;

-- pending_tests --
-- The oldest of each subscription that is not removed: what waits for one endpoint delays no other.
select d.subscription_id, d.event_id
  from subscriptions s
 cross join lateral (select w.subscription_id, w.event_id from subscription_deliveries w
                      where w.subscription_id = s.subscription_id and w.outcome = 'pending' and w.partition is null
                      order by w.first_at limit %(most_each)s) d
 where s.removed_at is null;

-- keep_progress --
-- No row: somebody else delivers now, or the place was moved.
update subscription_progress
   set failures = %(failures)s,
       retry_at = case when %(retry_in_s)s::float8 is null then null else now() + make_interval(secs => %(retry_in_s)s) end,
       delivered = delivered + %(delivered)s,
       last_success_at = case when %(delivered)s > 0 then now() else last_success_at end,
       last_failure_at = case when %(error)s::text is not null then now() else last_failure_at end,
       last_error = coalesce(%(error)s, last_error)
 where subscription_id = %(subscription_id)s and epoch = %(epoch)s
returning epoch;

-- keep_cursor --
insert into subscription_cursors (subscription_id, partition, next_offset, ahead)
values (%(subscription_id)s, %(partition)s, %(next_offset)s, %(ahead)s)
on conflict (subscription_id, partition) do update set next_offset = excluded.next_offset, ahead = excluded.ahead;

-- keep_parked --
insert into subscription_parked (subscription_id, task_id, partition, record_offset, error)
values (%(subscription_id)s, %(task_id)s, %(partition)s, %(record_offset)s, %(error)s)
on conflict do nothing;

-- keep_delivery --
insert into subscription_deliveries as d (subscription_id, partition, record_offset, event_id, event_type, task_id, outcome, attempts,
                                          status, error, took_ms, next_at)
values (%(subscription_id)s, %(partition)s, %(record_offset)s, %(event_id)s, %(event_type)s, %(task_id)s, %(outcome)s, %(attempts)s,
        %(status)s, %(error)s, %(took_ms)s,
        case when %(retry_in_s)s::float8 is null then null else now() + make_interval(secs => %(retry_in_s)s) end)
on conflict (subscription_id, partition, record_offset) where partition is not null do update
   set outcome = excluded.outcome, attempts = excluded.attempts, status = excluded.status, error = excluded.error,
       took_ms = excluded.took_ms, next_at = excluded.next_at, last_at = now();

-- end_test --
update subscription_deliveries
   set outcome = %(outcome)s, attempts = 1, status = %(status)s, error = %(error)s, took_ms = %(took_ms)s, last_at = now()
 where event_id = %(event_id)s and partition is null and outcome = 'pending';

-- prune --
-- All but the latest deliveries. Those that are being retried stay; so do tests, which would be sent again when the tables are
-- filled again from the topic.
delete from subscription_deliveries
 where subscription_id = %(subscription_id)s and outcome <> 'retried' and partition is not null
   and (last_at, delivery_id) <= (select last_at, delivery_id from subscription_deliveries
                                   where subscription_id = %(subscription_id)s
                                   order by last_at desc, delivery_id desc offset %(most)s limit 1);

-- origins --
-- What the filters of subscriptions need to know about tasks, and who owns them.
select t.task_id, t.operation, t.group_id, t.created_by, t.exclusive_resources || t.shared_resources from tasks t
 where t.task_id = any (%(task_ids)s);

-- with_roles --
select task_id from task_roles where user_name = %(user_name)s and task_id = any (%(task_ids)s);
