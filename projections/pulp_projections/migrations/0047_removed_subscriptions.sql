-- Removed subscriptions leave no rows besides their own; those removed before now have left some.
delete from subscription_progress p using subscriptions s
 where s.subscription_id = p.subscription_id and s.removed_at is not null;
delete from subscription_cursors c using subscriptions s
 where s.subscription_id = c.subscription_id and s.removed_at is not null;
delete from subscription_parked k using subscriptions s
 where s.subscription_id = k.subscription_id and s.removed_at is not null;
delete from subscription_deliveries d using subscriptions s
 where s.subscription_id = d.subscription_id and s.removed_at is not null;
