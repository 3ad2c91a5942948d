"""PULP_YUM_*: what the administrator decides about all repositories."""

from pathlib import Path

import pytest
from pulp_operations.settings import Settings
from pulp_worker import OperationError
from pulp_worker.environment import allowed


def test_without_settings_three_generations_are_kept_and_nothing_is_signed() -> None:
    settings = Settings.read({"PULP_YUM_GPG_KEY": " "})
    assert (settings.generations, settings.gpg_key, settings.gpg_home) == (3, None, None)


def test_settings_are_read() -> None:
    settings = Settings.read(
        {"PULP_YUM_GENERATIONS": "7", "PULP_YUM_GPG_KEY": "0123ABCD", "PULP_YUM_GPG_HOME": "/etc/pulp/gnupg"}
    )
    assert (settings.generations, settings.gpg_key, settings.gpg_home) == (7, "0123ABCD", Path("/etc/pulp/gnupg"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PULP_YUM_GENERATIONS", "0"),
        ("PULP_YUM_GENERATIONS", "two"),
        ("PULP_YUM_GENERATIONS", "\u0663"),
        ("PULP_YUM_GPG_KEY", "--output=/etc/passwd"),
        ("PULP_YUM_GPG_HOME", "gnupg"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_without_its_value(key: str, value: str) -> None:
    with pytest.raises(OperationError, match=key) as raised:
        Settings.read({key: value})
    assert raised.value.code == "bad-setting"
    assert f"{key}={value}" not in str(raised.value)


def test_processes_of_operations_get_these_settings() -> None:
    assert allowed({"PULP_YUM_GENERATIONS": "5", "PULP_POSTGRES": "secret"}) == {"PULP_YUM_GENERATIONS": "5"}
