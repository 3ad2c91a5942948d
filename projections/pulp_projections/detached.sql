-- months --
select part, since, until, ends, places, is_kept from public.detached_history order by until;

-- lacks --
-- Whether events of a task are in a detached month: either more of them had an effect than the history has, or one
-- without an effect is known to be there. No clock was wrong by more than a day, so the history of a task that was
-- accepted more than a day later is not counted.
select exists (select from public.detached_effects where task_id = %(task_id)s)
    or exists (select from public.tasks t
                where t.task_id = %(task_id)s
                  and t.accepted_at < (select max(until) + interval '1 day' from public.detached_history)
                  and t.version > (select count(*) from public.task_events e
                                    where e.task_id = t.task_id and e.effect = 'applied'));
