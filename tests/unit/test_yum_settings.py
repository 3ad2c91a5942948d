"""PULP_YUM_*: what the administrator decides for all repositories."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pulp_events.settings import SettingsError
from pulp_operations.settings import Settings
from pulp_worker import OperationError
from pulp_worker.environment import allowed
from pulp_worker.loading import check_settings

from tests.support.command import environment


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
        ("PULP_YUM_CHECKSUM_TYPES", "sha256,crc32"),
        ("PULP_YUM_RESERVE_BYTES", "1 GiB"),
        ("PULP_YUM_RESERVE_BYTES", "-1"),
        ("PULP_YUM_RESERVE_BYTES", "9" * 5000),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_without_its_value(key: str, value: str) -> None:
    with pytest.raises(OperationError, match=key) as raised:
        Settings.read({key: value})
    assert raised.value.code == "bad-setting"
    assert f"{key}={value}" not in str(raised.value)


def test_processes_of_operations_get_these_settings() -> None:
    assert allowed({"PULP_YUM_GENERATIONS": "5", "PULP_POSTGRES": "secret"}) == {"PULP_YUM_GENERATIONS": "5"}


def test_without_settings_every_checksum_of_yum_is_accepted() -> None:
    settings = Settings.read({})
    for algorithm in ("md5", "sha1", "sha224", "sha256", "sha384", "sha512"):
        settings.check_checksum(algorithm, "the package ant-1.0-1.noarch")


def test_a_checksum_that_is_not_accepted_is_refused_with_the_name_of_the_setting() -> None:
    settings = Settings.read({"PULP_YUM_CHECKSUM_TYPES": "sha256, SHA512"})
    settings.check_checksum("sha512", "the package ant-1.0-1.noarch")
    with pytest.raises(OperationError, match=r"add sha1 to PULP_YUM_CHECKSUM_TYPES \(sha256,sha512\)") as raised:
        settings.check_checksum("sha1", "the package ant-1.0-1.noarch")
    assert raised.value.code == "checksum-refused"
    assert "the package ant-1.0-1.noarch is told by a checksum of type sha1" in raised.value.description


def test_the_names_of_old_repositories_are_understood() -> None:
    assert Settings.read({"PULP_YUM_CHECKSUM_TYPES": "sha"}).checksum_types == {"sha1"}


def test_a_worker_does_not_start_with_a_setting_that_cannot_be_used() -> None:
    with pytest.raises(SettingsError, match=r"PULP_YUM_RESERVE_BYTES cannot be used: a whole number of at least 0"):
        check_settings((), {"PULP_YUM_RESERVE_BYTES": "much"})


def test_a_worker_names_the_setting_and_ends(tmp_path: Path) -> None:
    settings = {
        "PULP_KAFKA": "127.0.0.1:1",
        "PULP_POSTGRES": "host=127.0.0.1 port=1",
        "PULP_STORAGE": str(tmp_path / "storage"),
        "PULP_YUM_CHECKSUM_TYPES": "sha256,crc32",
    }
    ended = subprocess.run(
        [sys.executable, "-m", "pulp_deploy", "worker"],
        env=environment(tmp_path, **settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 78
    assert "PULP_YUM_CHECKSUM_TYPES cannot be used: some of md5, sha1" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_each_setting_is_documented() -> None:
    root = Path(__file__).parents[2]
    source = "".join(path.read_text(encoding="utf-8") for path in (root / "operations").rglob("*.py"))
    documented = "".join(path.read_text(encoding="utf-8") for path in (root / "docs" / "operate").glob("*.md"))
    assert set(re.findall(r'"(PULP_YUM_[A-Z_]+)"', source)) <= set(re.findall(r"`(PULP_YUM_[A-Z_]+)`", documented))
