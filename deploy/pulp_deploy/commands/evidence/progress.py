"""`pulp-tasks audit status`."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table

from pulp_deploy.commands.evidence.given import settings_of
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option

if TYPE_CHECKING:
    from pulp_events.checkpoints import Covered


@click.command("status", epilog=examples("pulp-tasks audit status", "pulp-tasks audit status --output json"))
@data_option
@output_option
def status(data: Path | None, output: str) -> None:
    """Show how far the log has got, and who has its checkpoints.

    LAG is the number of records that no checkpoint covers yet. If the folder of the tiles is on this machine, it also
    shows which outlets have not accepted the last checkpoint, and why.
    """
    from pulp_events.checkpoints import covered

    target = Target.find(data)
    settings = settings_of(target.environment)
    found = covered(target.need_kafka(), target.topics.events, target.topics.checkpoints)
    outlets = _outlets(settings.folder)
    now_ms = time.time() * 1000
    report = {
        "partitions": [
            {
                "partition": each.partition,
                "lag": each.lag,
                "checkpoint_age_s": round(max(0.0, now_ms - each.checkpoint_ms) / 1000, 1),
                "waiting_s": _waiting_s(each, now_ms),
            }
            for each in found
        ],
        "outlets": outlets,
    }
    rows = [
        [str(each["partition"]), str(each["lag"]), f"{each['checkpoint_age_s']:.0f} s"] for each in report["partitions"]
    ]
    show(
        output,
        report,
        lambda: [
            *table(rows, ("PARTITION", "LAG", "CHECKPOINT"), width=None),
            *(f"{each['name']}: {each['fault'] or 'up to date'}" for each in outlets),
        ],
    )
    if not found:
        hint("No checkpoint was ever published: pulp-tasks transparency keeps the log, with a key of audit keygen.")


def _waiting_s(each: "Covered", now_ms: float) -> float | None:
    return None if each.waiting_since_ms is None else round(max(0.0, now_ms - each.waiting_since_ms) / 1000, 1)


def _outlets(folder: Path | None) -> list[dict[str, Any]]:
    """What the process last told about its outlets; nothing where its folder is not on this machine."""
    import json

    from pulp_transparency.follower import STATUS

    if folder is None:
        return []
    try:
        found = json.loads((folder / STATUS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [{"name": name, **each} for name, each in found["outlets"].items()]
