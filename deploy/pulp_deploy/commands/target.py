"""Find the installation of a command: the environment's, else the running local stack."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from pulp_events.kafka import Kafka
    from pulp_events.topics import Topics
    from pulp_processor.settings import Settings

    from pulp_deploy.folder import DataFolder


@dataclass(frozen=True, slots=True)
class Target:
    """Where an installation's Kafka and Postgres are, and the prefix of its topics."""

    environment: Mapping[str, str]
    """The environment of a process of the installation."""
    kafka: str
    postgres: str
    prefix: str

    @property
    def topics(self) -> "Topics":
        """The names of its topics."""
        from pulp_events.topics import Topics

        return Topics.named(self.prefix)

    @classmethod
    def find(cls, data: Path | None) -> "Target":
        """Find the stack on `data`; without it what PULP_KAFKA and PULP_POSTGRES name; without these the usual stack.

        Raises `SettingsError` if none of them is there.
        """
        from pulp_events.settings import topic_prefix

        found = environment(data)
        kafka, postgres = (found.get(key, "").strip() for key in ("PULP_KAFKA", "PULP_POSTGRES"))
        return cls(found, kafka, postgres, topic_prefix(found))

    def need_kafka(self) -> "Kafka":
        """Kafka, and how to connect to it; raises `SettingsError`."""
        from pulp_events.settings import kafka

        _needed("PULP_KAFKA", self.kafka)
        return kafka(self.environment)

    def need_postgres(self) -> str:
        """The conninfo; raises `SettingsError`."""
        from pulp_projections.connection import check

        conninfo = _needed("PULP_POSTGRES", self.postgres)
        check(conninfo)
        return conninfo


def environment(data: Path | None) -> dict[str, str]:
    """The environment of a process of the installation.

    With `data`, the settings of the stack there override ours. If PULP_KAFKA or PULP_POSTGRES is set, only ours apply;
    else ours override those of the usual stack. Raises `SettingsError` if there is no such stack.
    """
    from pulp_events import local_stack
    from pulp_events.settings import SettingsError

    ours = dict(os.environ)
    if data is None and (ours.get("PULP_KAFKA", "").strip() or ours.get("PULP_POSTGRES", "").strip()):
        return ours
    folder = stack_folder(data)
    services = folder.services()
    if folder.owner() is None or services is None:
        raise SettingsError(
            f"no stack runs on {folder.path}, and PULP_KAFKA and PULP_POSTGRES are not set: start one with"
            " pulp-tasks up, give its folder with --data or PULP_DATA, or set them"
        )
    return local_stack.environment(ours, services) if data is not None else services | local_stack.environment(ours, {})


class Folder(click.Path):
    """A folder, which need not exist; `~` is a home folder."""

    def __init__(self) -> None:
        super().__init__(file_okay=False, path_type=Path)

    def convert(self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("An empty name is not a folder.", param, ctx)
        try:
            path = Path(value).expanduser()
        except RuntimeError:
            self.fail(f"The home folder of {str(value)!r} is unknown.", param, ctx)
        return super().convert(path, param, ctx)


data_option: Final = click.option(
    "--data",
    type=Folder(),
    help="Data folder of a local stack. Default: PULP_KAFKA and PULP_POSTGRES, else the usual folder.",
)
stack_option: Final = click.option(
    "--data",
    type=Folder(),
    help="Data folder of the stack. Default: PULP_DATA, else the usual folder.",
)


def stack_folder(data: Path | None) -> "DataFolder":
    """The data folder of a local stack: the one that is named, else the usual one. Raises `NotOurs`."""
    # Imported here: the processes of a rebuild do not need psutil and platformdirs.
    from pulp_deploy.folder import DataFolder, default_folder

    folder = DataFolder(data or default_folder())
    folder.check()
    return folder


def processor_settings(data: Path | None) -> "Settings":
    """Return the settings of a processor of the installation; raises `SettingsError`."""
    from pulp_processor.settings import Settings

    target = Target.find(data)
    target.need_kafka()
    target.need_postgres()
    return Settings.read(target.environment)


def _needed(key: str, value: str) -> str:
    from pulp_events.settings import SettingsError

    if not value:
        raise SettingsError(f"{key} is not set: it is needed, since the other one of PULP_KAFKA and PULP_POSTGRES is")
    return value
