"""Models: the product's own decisions against invented histories and schedules, in memory and on the real thing."""
