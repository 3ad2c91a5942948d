"""What an installation needs to be safe: looked at when a process starts, every minute, and by `pulp-tasks doctor`."""
