-- make --
select public.make_history_months(%(generation)s, %(time)s);
