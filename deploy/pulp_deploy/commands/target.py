"""Which installation a command is for: the environment's, else the local stack that runs."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from pulp_events.settings import SettingsError
from pulp_events.topics import Topics
from pulp_processor.settings import Settings
from pulp_projections.conninfo import place_of

PREFIX: Final = "pulp.tasks"


@dataclass(frozen=True, slots=True)
class Target:
    """Where an installation's Kafka and Postgres are, and the prefix of its topics."""

    kafka: str
    postgres: str
    prefix: str

    @property
    def topics(self) -> Topics:
        return Topics.named(self.prefix)

    @classmethod
    def find(cls, data: Path | None) -> "Target":
        """The stack on `data`; without it what PULP_KAFKA and PULP_POSTGRES name; without these the usual stack.

        Raises `SettingsError` if none of them is there.
        """
        given = os.environ.get("PULP_KAFKA", ""), os.environ.get("PULP_POSTGRES", "")
        if data is None and any(given):
            return cls(*given, os.environ.get("PULP_TOPIC_PREFIX") or PREFIX)
        # Here, as a process of a rebuild has no use for what it brings (psutil, platformdirs) where it is told all.
        from pulp_deploy.folder import DataFolder, default_folder

        folder = DataFolder(data or default_folder())
        services = folder.services()
        if folder.owner() is None or services is None:
            raise SettingsError(
                f"no stack runs on {folder.path}, and PULP_KAFKA and PULP_POSTGRES are not set: start one with"
                " pulp-tasks up, give its folder with --data, or set them"
            )
        return cls(services["PULP_KAFKA"], services["PULP_POSTGRES"], services["PULP_TOPIC_PREFIX"])

    def need_kafka(self) -> str:
        """The bootstrap servers; raises `SettingsError`."""
        return _needed("PULP_KAFKA", self.kafka)

    def need_postgres(self) -> str:
        """The conninfo; raises `SettingsError`."""
        conninfo = _needed("PULP_POSTGRES", self.postgres)
        place_of(conninfo)  # for its check
        return conninfo


data_option: Final = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder of a local stack (default: PULP_KAFKA and PULP_POSTGRES, else the usual folder).",
)


def processor_settings(data: Path | None) -> Settings:
    """What a processor of the installation would run with; raises `SettingsError`."""
    target = Target.find(data)
    given = {
        "PULP_KAFKA": target.need_kafka(),
        "PULP_POSTGRES": target.need_postgres(),
        "PULP_TOPIC_PREFIX": target.prefix,
    }
    return Settings.read({**os.environ, **given})


def _needed(key: str, value: str) -> str:
    if not value:
        raise SettingsError(f"{key} is not set: it is needed, since the other one of PULP_KAFKA and PULP_POSTGRES is")
    return value
