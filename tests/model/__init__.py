"""Models: the product's decisions under random histories and schedules, in memory and on real servers."""
