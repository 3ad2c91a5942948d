"""The local stack that `pulp-tasks up` runs on this machine: where its data is, and how to reach it."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pulp_events import security
from pulp_events.declared_settings import Setting
from pulp_events.errors import SettingsError
from pulp_events.kafka import Kafka
from pulp_events.settings import TOPIC_PREFIX, kafka, topic_prefix

OWNER: Final = "owner.json"
"""The file in the data folder that exists while a stack runs on it."""
SERVICES: Final = "services.json"
"""The file with the environment of the stack's processes: `PULP_KAFKA`, `PULP_POSTGRES`, …"""
DATA: Final = Setting(
    "PULP_DATA",
    "The data folder of a local stack.",
    kind=Path,
    default_text="`pulp-tasks` in `XDG_DATA_HOME`, or in the user's folder for data; `/var/lib/pulp-tasks` for root",
)
_FOR_ROOT: Final = Path("/var/lib/pulp-tasks")


def data_folder(env: Mapping[str, str]) -> Path:
    """The default data folder of a stack. This is the one place for the rule.

    `PULP_DATA`; else `pulp-tasks` in `XDG_DATA_HOME`; else for root /var/lib/pulp-tasks, whatever HOME is (root's home
    is closed to the account that PostgreSQL runs as); else the user's own folder for data. Raises `SettingsError` for
    a user without a home.
    """
    if given := env.get(DATA.name):
        return Path(given).expanduser().absolute()
    shared = Path(env.get("XDG_DATA_HOME", ""))
    if shared.is_absolute():
        return shared / "pulp-tasks"
    if os.geteuid() == 0:
        return _FOR_ROOT
    try:
        home = Path(env["HOME"]) if env.get("HOME") else Path.home()
    except RuntimeError:
        raise SettingsError(
            "HOME is not set and this user has no home folder: name a data folder with PULP_DATA"
        ) from None
    return home / ("Library/Application Support" if sys.platform == "darwin" else ".local/share") / "pulp-tasks"


def services(folder: Path) -> dict[str, str] | None:
    """The environment of the processes of the stack that runs on the folder; None if none does.

    A stack that was killed counts as running until its folder is used again. Raises `SettingsError` for a folder that
    may not be read, or whose file is damaged.
    """
    try:
        if not (folder / OWNER).exists():
            return None
        found = json.loads((folder / SERVICES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None  # the stack is starting for the first time
    except PermissionError:
        raise SettingsError(
            f"the stack on {folder} is another user's: become that user, or set PULP_KAFKA to its Kafka"
        ) from None
    except (OSError, ValueError) as error:
        raise SettingsError(f"{folder / SERVICES} cannot be read: {error}") from error
    return {str(key): str(value) for key, value in found.items()}


def environment(ours: Mapping[str, str], stack: Mapping[str, str]) -> dict[str, str]:
    """Our environment, overridden by that of the stack.

    Our own settings for logins to Kafka are left out: a password for another Kafka must not be sent to the stack's.
    """
    return {key: value for key, value in ours.items() if key not in security.KEYS} | dict(stack)


def find_kafka(env: Mapping[str, str]) -> tuple[Kafka, str]:
    """Kafka and the prefix of the topics, from the environment or else from the running local stack.

    Raises `SettingsError`, which says what to do, if neither names them.
    """
    prefix = topic_prefix(env)
    if env.get("PULP_KAFKA", "").strip():
        return kafka(env), prefix
    folder = data_folder(env)
    found = services(folder)
    if found is None:
        raise SettingsError(
            f"PULP_KAFKA is not set, and no local stack runs on {folder}: start one with pulp-tasks up, name the folder"
            " of one that runs with PULP_DATA, or set PULP_KAFKA to HOST:PORT of a broker"
        )
    return kafka(found), found.get(TOPIC_PREFIX.name, prefix)
