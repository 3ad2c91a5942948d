"""Delivers events to the endpoints of subscriptions, in the processor whose dispatcher is elected."""
