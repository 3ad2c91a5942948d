"""Checks of what an installation needs to be safe: at the start, every minute, and by `pulp-tasks doctor`."""
