"""The commands of `pulp-tasks`, one small file for each group."""
