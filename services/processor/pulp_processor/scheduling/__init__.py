"""Runs the ticks of schedules, in the processor whose dispatcher is elected."""
