"""The fault suite: a realistic load, faults while it runs, and a checker that shares no code with the product."""
