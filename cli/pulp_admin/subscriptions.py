"""`pulp-admin subscriptions`: its commands are in separate files, which are imported when they are called."""

from typing import Final

import click
from pulp_console.groups import LazyGroup, examples

_COMMANDS: Final = {
    "list": "pulp_admin.subscription_pages:list_",
    "show": "pulp_admin.subscription_pages:show_one",
    "deliveries": "pulp_admin.subscription_pages:deliveries",
    "create": "pulp_admin.subscription_changes:create",
    "test": "pulp_admin.subscription_changes:test",
    "pause": "pulp_admin.subscription_changes:pause",
    "resume": "pulp_admin.subscription_changes:resume",
    "redeliver": "pulp_admin.subscription_changes:redeliver",
    "rotate-secret": "pulp_admin.subscription_changes:rotate_secret",
    "delete": "pulp_admin.subscription_changes:delete",
}


@click.group(
    cls=LazyGroup,
    places=_COMMANDS,
    epilog=examples(
        "pulp-admin subscriptions create chat https://chat.example.org/pulp \\",
        "    --type finished --operation sync",
        "pulp-admin subscriptions list",
    ),
)
def subscriptions() -> None:
    """Deliver events to a URL (webhooks).

    They are signed, in order for each task, and retried after failures.
    """
