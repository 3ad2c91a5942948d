"""The fault suite: a load that looks like life, faults while it runs, and a checker that trusts nothing of the product."""
