"""The accounts of processes that root starts, and the messages if none can be used."""

import os
import stat
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo
from pulp_deploy.backend import Backend, BackendOptions
from pulp_deploy.errors import DeployError
from pulp_deploy.files import make_folder, write_private
from pulp_deploy.folder import DataFolder
from pulp_deploy.local import accounts
from pulp_deploy.local.accounts import Account, give, server_account, unreadable
from pulp_deploy.supervision import Supervised
from pulp_deploy.unprivileged import Unprivileged

STRANGER = Account(54_321, 54_321, "stranger")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: what needs root's rights")


def open_to_all(path: Path) -> Path:
    for each in (path, *path.parents[:3]):
        if each != Path("/tmp"):
            each.chmod(0o755)
    return path


def test_what_keeps_an_account_from_a_file_is_named(tmp_path: Path) -> None:
    folder = open_to_all(tmp_path) / "inner"
    folder.mkdir(mode=0o755)
    file = folder / "file"
    file.touch(mode=0o644)
    assert unreadable([file], STRANGER) is None
    file.chmod(0o600)
    assert unreadable([file], STRANGER) == file
    folder.chmod(0o700)
    assert unreadable([file], STRANGER) == folder


@needs_root
@pytest.mark.parametrize("name", ["root", "no-such-user"])
def test_a_user_as_whom_nothing_can_run_is_refused(name: str) -> None:
    with pytest.raises(DeployError, match=rf"{name}.* name another (user|one) with --user"):
        server_account(name)


def test_only_root_may_name_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 12_345)
    monkeypatch.setattr(accounts.pwd, "getpwuid", lambda _: type("Found", (), {"pw_name": "jo"}))  # type: ignore[attr-defined]
    assert server_account() is None
    assert server_account("jo") is None
    with pytest.raises(DeployError, match="only root may run processes as postgres"):
        server_account("postgres")


def test_services_run_as_root_with_the_reason_where_the_account_cannot_read(tmp_path: Path) -> None:
    certificate = open_to_all(tmp_path) / "ca.pem"
    certificate.touch(mode=0o600)
    said: list[str] = []
    data = tmp_path / "data"
    found = Unprivileged.of(STRANGER, data, {"SSL_CERT_FILE": str(certificate)}, said.append)
    assert found.account is None
    (reason,) = said
    assert reason.startswith("the API, processors and workers run as root, not as stranger: it may not ")


def test_a_port_below_1024_is_for_root(tmp_path: Path) -> None:
    services = Unprivileged(account=STRANGER, folder=tmp_path)
    assert (services.for_port(443), services.for_port(24817)) == (None, STRANGER)


def test_the_environment_leads_to_no_file_of_root(tmp_path: Path) -> None:
    environment = {
        "HOME": "/root",
        "TMPDIR": "/home/op/tmp",
        "XDG_CACHE_HOME": "/home/op/.cache",
        "USER": "root",
        "TZ": "UTC",
    }
    got = Unprivileged(account=STRANGER, folder=tmp_path).environment(environment)
    assert got == {"HOME": str(tmp_path / "home"), "USER": "stranger", "LOGNAME": "stranger", "TZ": "UTC"}
    assert Unprivileged(account=None, folder=tmp_path).environment(environment) == environment


@needs_root
def test_what_the_account_needs_is_given_to_it_and_back(tmp_path: Path) -> None:
    data, outside = tmp_path / "data", tmp_path / "outside"
    outside.touch()
    for folder in (data, data / "kafka", data / "kafka" / "login", data / "storage"):
        make_folder(folder)
    secret, passwords = data / "kafka" / "login" / "password", data / "it's"
    write_private(secret, "x")
    write_private(passwords, "x")
    (data / "storage" / "link").symlink_to(outside)
    environment = {"PULP_KAFKA_PASSWORD_FILE": str(secret), "PULP_POSTGRES": make_conninfo(passfile=str(passwords))}
    for account, user, passable in ((STRANGER, STRANGER.user, 0o711), (None, 0, 0o711)):
        Unprivileged(account=account, folder=data).prepare(environment)
        mine = (secret, passwords, data / "storage", data / "storage" / "link")
        assert {path.lstat().st_uid for path in mine} == {user}
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert stat.S_IMODE(secret.parent.stat().st_mode) == passable
        assert outside.stat().st_uid == 0


@needs_root
def test_a_tree_is_given_without_following_links(tmp_path: Path) -> None:
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    for folder in (outside, tree / "inner"):
        make_folder(folder)
    (outside / "file").touch()
    (tree / "inner" / "file").touch()
    (tree / "link").symlink_to(outside)
    give(tree, STRANGER)
    assert {path.lstat().st_uid for path in (tree, *tree.rglob("*"))} == {STRANGER.user}
    assert {path.stat().st_uid for path in (outside, outside / "file")} == {0}


def backend(tmp_path: Path, said: list[str], **options: str) -> Backend:
    def supervise(command: object) -> Supervised:
        raise AssertionError(command)

    return Backend(BackendOptions(**options), DataFolder(tmp_path / "data"), supervise, said.append)  # type: ignore[arg-type]


@needs_root
def test_who_asks_for_a_user_gets_that_user_or_an_error(tmp_path: Path) -> None:
    said: list[str] = []
    backend(tmp_path, said).refuse_root("it runs as root")
    assert said == ["it runs as root"]
    with pytest.raises(DeployError, match="it cannot be; leave --user out"):
        backend(tmp_path, said, user="nobody").refuse_root("it cannot be")
    assert backend(tmp_path, said, user="root").account is None
