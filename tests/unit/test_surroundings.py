"""A stack's processes get only the listed environment variables, and nothing else from the shell."""

import pytest
from pulp_deploy.local.surroundings import for_python, for_servers, for_services, for_supervisor, without_libpq

SHELL = {
    "PATH": "/bin",
    "HOME": "/root",
    "LANG": "C",
    "LC_ALL": "C",
    "AWS_SECRET_ACCESS_KEY": "x",
    "GITHUB_TOKEN": "x",
    "SSH_AUTH_SOCK": "x",
    "JAVA_TOOL_OPTIONS": "x",
    "KAFKA_OPTS": "x",
    "PGPASSWORD": "x",
    "PGOPTIONS": "x",
    "PULP_PASSWORD": "x",
    "PULP_ADMIN_CONFIG": "x",
    "PULP_DATA": "x",
    "PULP_READY_FD": "3",
    "PULP_LOG_LEVEL": "DEBUG",
    "PULP_KAFKA_PASSWORD_FILE": "/run/secrets/kafka",
    "PYTHONPATH": "/src",
    "https_proxy": "http://proxy:1",
    "FOR_OPERATIONS": "y",
    "PULP_WORKER_ENVIRONMENT": "FOR_OPERATIONS, NOTHING",
}
SERVER = {"PATH", "HOME", "LANG", "LC_ALL"}
SERVICE = SERVER | {
    *("PULP_LOG_LEVEL", "PULP_KAFKA_PASSWORD_FILE", "PYTHONPATH", "https_proxy"),
    *("FOR_OPERATIONS", "PULP_WORKER_ENVIRONMENT"),
}


def test_each_gets_what_it_needs() -> None:
    assert for_servers(SHELL).keys() == SERVER
    assert for_python(SHELL).keys() == SERVER | {"PYTHONPATH"}
    assert for_services(SHELL).keys() == SERVICE
    assert for_services(SHELL, libpq=True).keys() == SERVICE | {"PGPASSWORD", "PGOPTIONS"}
    assert for_supervisor(SHELL).keys() == SERVICE | {"PULP_DATA", "PULP_ADMIN_CONFIG"}


@pytest.mark.parametrize(("postgres", "kept"), [("host=db", True), (" ", False), (None, False)])
def test_settings_of_libpq_belong_to_a_postgres_that_was_given(postgres: str | None, kept: bool) -> None:
    given = SHELL if postgres is None else {**SHELL, "PULP_POSTGRES": postgres}
    assert ("PGPASSWORD" in for_supervisor(given), "PGPASSWORD" in without_libpq(given)) == (kept, kept)
