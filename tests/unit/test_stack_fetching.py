"""The workers of a local stack may fetch from the same machine, unless the environment says otherwise."""

from pathlib import Path

import pytest
from pulp_deploy.backend import BackendOptions
from pulp_deploy.stack import Stack, StackOptions
from pulp_worker.bounds import fetch_settings


@pytest.mark.parametrize(
    ("given", "expected"), [(None, ("public", "private", "loopback")), ("mirror.example", ("mirror.example",))]
)
def test_a_local_stack_allows_loopback_unless_it_is_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, expected: tuple[str, ...]
) -> None:
    monkeypatch.delenv("PULP_FETCH_ALLOW", raising=False)
    if given is not None:
        monkeypatch.setenv("PULP_FETCH_ALLOW", given)
    backend = BackendOptions(given_kafka="127.0.0.1:9092", given_postgres="dbname=pulp")
    stack = Stack(StackOptions(data=tmp_path, backend=backend))
    assert fetch_settings(stack.service_environment()).rules.allow == expected
