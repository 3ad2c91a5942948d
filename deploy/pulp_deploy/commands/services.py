"""One subcommand for each process of an installation.

Options go before what --data says, and that before the environment; the usual local stack comes last.
"""

import asyncio
from pathlib import Path

import click
from pulp_console.groups import examples
from pulp_events.defaults import API_PORT

from pulp_deploy.commands import target


@click.command(epilog=examples("pulp-tasks api --host 0.0.0.0 --port 8080"))
@click.option("--host", help="Address to listen on (PULP_API_HOST, 127.0.0.1).")
@click.option("--port", type=click.IntRange(1, 65535), help=f"Port to listen on (PULP_API_PORT, {API_PORT}).")
@target.data_option
def api(host: str | None, port: int | None, data: Path | None) -> None:
    """Run the REST API.

    Its settings come from the options, then the environment.
    """
    from pulp_api.main import serve
    from pulp_api.settings import Settings

    asyncio.run(serve(Settings.read(_environment(data, PULP_API_HOST=host, PULP_API_PORT=port))))


@click.command(epilog=examples("pulp-tasks processor --instance processor-1"))
@click.option("--instance", help="Static member id in the consumer group (PULP_PROCESSOR_INSTANCE).")
@target.data_option
def processor(instance: str | None, data: Path | None) -> None:
    """Run a processor, which projects events into Postgres.

    It takes its share of the partitions of the events topic.
    """
    from pulp_processor.main import serve
    from pulp_processor.settings import Settings

    asyncio.run(serve(Settings.read(_environment(data, PULP_PROCESSOR_INSTANCE=instance))))


@click.command(epilog=examples("pulp-tasks worker --concurrency 8 --queue default --queue mirrors"))
@click.option("--name", help="Name, unique among live workers (PULP_WORKER_NAME, HOST-PID).")
@click.option("--concurrency", type=click.IntRange(1), help="Tasks to run at once (PULP_WORKER_CONCURRENCY).")
@click.option("--queue", "queues", multiple=True, help="Queue to take tasks from; may be repeated.")
@click.option("--storage", type=click.Path(file_okay=False), help="Folder that workers share (PULP_STORAGE).")
@target.data_option
def worker(
    name: str | None, concurrency: int | None, queues: tuple[str, ...], storage: str | None, data: Path | None
) -> None:
    """Run a worker, which takes tasks and runs their operations.

    Its operations are those of the packages that are installed beside it.
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


def _environment(data: Path | None, **options: object) -> dict[str, str]:
    given = {key: str(value) for key, value in options.items() if value is not None}
    return target.environment(data) | given
