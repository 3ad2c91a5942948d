"""`pulp-tasks audit status`."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from pulp_console.groups import examples
from pulp_console.output import hint, show, table
from pulp_console.times import duration_text

from pulp_deploy.commands.evidence.given import settings_of
from pulp_deploy.commands.output import output_option
from pulp_deploy.commands.target import Target, data_option

if TYPE_CHECKING:
    from pulp_events.checkpoints import Covered

_OLD_S: Final = 60.0
"""The process reports on its outlets at each interval, and may be this late."""


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
    now_ms = time.time() * 1000
    outlets, told_s = _outlets(settings.folder)
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
            *(f"{each['name']}: {_standing(each)}" for each in outlets),
        ],
    )
    if told_s is not None and now_ms / 1000 - told_s > _OLD_S + settings.interval_s:
        hint(
            f"What is said of the outlets is {duration_text(now_ms / 1000 - told_s)} old: does pulp-tasks transparency"
            " run?"
        )
    if not found:
        hint("No checkpoint was ever published: pulp-tasks transparency keeps the log, with a key of audit keygen.")


def _waiting_s(each: "Covered", now_ms: float) -> float | None:
    return None if each.waiting_since_ms is None else round(max(0.0, now_ms - each.waiting_since_ms) / 1000, 1)


def _standing(outlet: Mapping[str, Any]) -> str:
    """In words: why the last checkpoint was not taken, or whether one has not been taken yet."""
    if outlet["fault"]:
        return str(outlet["fault"])
    waiting = outlet["waiting"]
    return f"a checkpoint of {waiting} partition{'s' if waiting > 1 else ''} waits" if waiting else "up to date"


def _outlets(folder: Path | None) -> tuple[list[dict[str, Any]], float | None]:
    """The process's last report on its outlets, and its time; nothing if its folder is not on this machine."""
    import json

    from pulp_transparency.follower import STATUS

    if folder is None:
        return [], None
    try:
        found = json.loads((folder / STATUS).read_text(encoding="utf-8"))
        outlets = [
            {"name": name, "waiting": int(each["waiting"]), "fault": each["fault"]}
            for name, each in found["outlets"].items()
        ]
        return outlets, float(found["time"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # also of another release
        return [], None
