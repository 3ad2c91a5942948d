"""The steps of a repair."""
