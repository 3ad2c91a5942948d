"""One subcommand for each process of an installation.

Options override --data, which overrides the environment; the usual local stack comes last.
"""

import asyncio
import os
from pathlib import Path
from typing import Final

import click
from pulp_console.groups import examples

from pulp_deploy import process_settings
from pulp_deploy.commands import target
from pulp_deploy.settings_help import SettingsCommand, setting_option
from pulp_deploy.unknown_settings import warn_of_unknown

_NICE: Final = 19
"""The log may be late, the live path may not: if both share a core, the live path comes first."""


@click.command(
    cls=SettingsCommand, settings=process_settings.api, epilog=examples("pulp-tasks api --host 0.0.0.0 --port 8080")
)
@setting_option("--host", setting="PULP_API_HOST")
@setting_option("--port", setting="PULP_API_PORT", type=click.IntRange(1, 65535))
@target.data_option
def api(host: str | None, port: int | None, data: Path | None) -> None:
    """Run the REST API.

    Its settings come from the options, else from the environment.
    """
    from pulp_api.main import serve
    from pulp_api.settings import Settings

    asyncio.run(serve(Settings.read(_environment(data, PULP_API_HOST=host, PULP_API_PORT=port))))


@click.command(
    cls=SettingsCommand,
    settings=process_settings.processor,
    epilog=examples("pulp-tasks processor --instance processor-1"),
)
@setting_option("--instance", setting="PULP_PROCESSOR_INSTANCE")
@target.data_option
def processor(instance: str | None, data: Path | None) -> None:
    """Run a processor, which projects events into Postgres.

    It takes its share of the partitions of the events topic. One of the processors also assigns tasks to workers and
    runs the schedules.
    """
    from pulp_processor.main import serve
    from pulp_processor.settings import Settings

    from pulp_deploy.tick_submission import submitting_to

    settings = Settings.read(_environment(data, PULP_PROCESSOR_INSTANCE=instance))
    tells_origin = settings.event_origin != "none"
    submitter = submitting_to(
        settings.postgres, settings.quotas, tells_origin=tells_origin, key_file=settings.personal_key_file
    )
    asyncio.run(serve(settings, make_submitter=submitter))


@click.command(
    cls=SettingsCommand,
    settings=process_settings.worker,
    epilog=examples("pulp-tasks worker --concurrency 8 --queue default --queue mirrors"),
)
@setting_option("--name", setting="PULP_WORKER_NAME")
@setting_option("--concurrency", setting="PULP_WORKER_CONCURRENCY", type=click.IntRange(1))
@click.option("--queue", "queues", multiple=True, help="Queue to take tasks from; may be repeated.")
@setting_option("--storage", setting="PULP_STORAGE", type=click.Path(file_okay=False))
@target.data_option
def worker(
    name: str | None, concurrency: int | None, queues: tuple[str, ...], storage: str | None, data: Path | None
) -> None:
    """Run a worker, which takes tasks and runs their operations.

    It offers the operations of the packages installed with it.
    """
    from pulp_worker.init import serve_as_init

    serve_as_init()
    from pulp_worker.main import run
    from pulp_worker.settings import Settings

    environment = _environment(
        data,
        PULP_WORKER_NAME=name,
        PULP_WORKER_CONCURRENCY=concurrency,
        PULP_WORKER_QUEUES=",".join(queues) or None,
        PULP_STORAGE=storage,
    )
    run(Settings.read(environment))


@click.command(
    cls=SettingsCommand,
    settings=process_settings.transparency,
    epilog=examples("pulp-tasks transparency --folder /srv/log --key /etc/pulp-tasks/signing-key"),
)
@setting_option("--folder", setting="PULP_TRANSPARENCY_FOLDER", type=click.Path(file_okay=False))
@setting_option("--key", setting="PULP_TRANSPARENCY_KEY", type=click.Path(dir_okay=False))
@target.data_option
def transparency(folder: str | None, key: str | None, data: Path | None) -> None:
    """Keep the log that shows whether an event was altered.

    It reads every event and writes signed checkpoints, outside the live path. One such process is enough; it needs only
    Kafka, and a key that pulp-tasks audit keygen creates.
    """
    from pulp_transparency.main import serve
    from pulp_transparency.settings import Settings

    os.nice(_NICE)
    given = _environment(data, PULP_TRANSPARENCY_FOLDER=folder, PULP_TRANSPARENCY_KEY=key)
    asyncio.run(serve(Settings.read(given)))


def _environment(data: Path | None, **options: object) -> dict[str, str]:
    given = {key: str(value) for key, value in options.items() if value is not None}
    found = target.environment(data) | given
    warn_of_unknown(found)
    return found
