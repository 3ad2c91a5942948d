"""The manners that `pulp-admin` and `pulp-tasks` share: output, times, ids, questions, suggestions, exit codes."""
