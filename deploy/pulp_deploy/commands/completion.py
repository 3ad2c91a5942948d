"""`pulp-tasks completion`."""

from pulp_console.completion import completion_command

completion = completion_command("pulp-tasks")
