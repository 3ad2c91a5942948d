-- The context of the span that assigned the task, for the worker that runs it. Only a dispatcher that traces writes it.

alter table claims add column traceparent text;
