"""The four ways to get an Apache Kafka and a PostgreSQL for a test run."""

import gc
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import pytest
from pulp_deploy.stack import Stack, StackOptions

from tests.support.oldest import NotAvailable, oldest_kafka, oldest_postgres


@dataclass(frozen=True, slots=True)
class Backend:
    """The addresses of this run's broker and database."""

    kafka: str
    postgres: str


def chosen_backend(option: str | None, env: Mapping[str, str] = os.environ) -> str:
    """The value of `--backend`; by default `given` if both addresses are set, else `local`."""
    if option is not None:
        return option
    return "given" if env.get("PULP_KAFKA") and env.get("PULP_POSTGRES") else "local"


@contextmanager
def local() -> Iterator[Backend]:
    """Kafka and Postgres as Python dependencies, on a temporary folder and free ports."""
    stack = Stack(StackOptions.throwaway(), lambda line: print(line, flush=True))
    stack.up_backend()
    try:
        yield Backend(kafka=stack.backend.kafka, postgres=stack.backend.postgres)
    finally:
        stack.down()


@contextmanager
def containers() -> Iterator[Backend]:
    """The official images apache/kafka and postgres. Without a container engine, the tests that need one fail."""
    from testcontainers.community.postgres import PostgresContainer

    from tests.support.kafka_container import kafka_container

    if (reason := _no_engine()) is not None:
        pytest.fail(f"--backend containers: no container engine answers: {reason}", pytrace=False)
    with kafka_container() as kafka, PostgresContainer("postgres:18", driver=None) as postgres:
        yield Backend(kafka=kafka, postgres=postgres.get_connection_url())


@contextmanager
def oldest() -> Iterator[Backend]:
    """The oldest supported versions. If they are not available, the tests that need them fail."""
    try:
        with oldest_kafka() as kafka, oldest_postgres() as postgres:
            yield Backend(kafka=kafka, postgres=postgres)
    except NotAvailable as error:
        pytest.fail(f"--backend oldest: {error}", pytrace=False)


@contextmanager
def given() -> Iterator[Backend]:
    """The servers that PULP_KAFKA and PULP_POSTGRES name."""
    missing = [key for key in ("PULP_KAFKA", "PULP_POSTGRES") if not os.environ.get(key)]
    if missing:
        pytest.fail(f"--backend given: {' and '.join(missing)} not set", pytrace=False)
    yield Backend(kafka=os.environ["PULP_KAFKA"], postgres=os.environ["PULP_POSTGRES"])


BACKENDS: Mapping[str, Callable[[], AbstractContextManager[Backend]]] = {
    "local": local,
    "containers": containers,
    "given": given,
    "oldest": oldest,
}


def _no_engine() -> str | None:
    import docker  # type: ignore[import-untyped]  # it has no types

    with warnings.catch_warnings():
        # A client that cannot connect leaves closing its socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            docker.from_env().close()
        except docker.errors.DockerException as error:
            return str(error)
        finally:
            gc.collect()
    return None
