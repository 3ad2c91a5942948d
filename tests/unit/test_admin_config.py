"""The configuration: the message for a wrong value names its source, and the exit code is 78."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pulp_admin.config import read_config
from pulp_admin.errors import Failure
from pulp_admin.main import run
from pulp_admin.server_url import server_url, with_port
from pulp_console.exits import CONFIG


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "admin.toml"


def refused(file: Path, flags: dict[str, Any] | None = None, **env: str) -> str:
    with pytest.raises(Failure) as raised:
        read_config(flags or {}, {"PULP_ADMIN_CONFIG": str(file), **env})
    assert raised.value.code == CONFIG
    return raised.value.message


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("pulp.example.org", "it must begin with http:// or https://"),
        ("ftp://pulp.example.org", "it must begin with http:// or https://"),
        ("http:/pulp.example.org", "it must begin with http:// or https://"),
        ("http://", "the name of the host is missing"),
        ("http://:24817", "the name of the host is missing"),
        ("http://h:abc", "a port is a number from 1 to 65535"),
        ("http://h:99999", "a port is a number from 1 to 65535"),
        ("http://h:", "a port is a number from 1 to 65535"),
        ("http://h:0", "a port is a number from 1 to 65535"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://h/?a=b", "it must not have a query or a fragment"),
        ("http://h#x", "it must not have a query or a fragment"),
        ("http://h/pulp/api/v3/", "the part from /pulp/api on is added by pulp-admin: give http://h"),
        ("http://a b", "it holds a character that no URL can hold"),
        ("http://h\udcff", "it holds a character that no URL can hold"),
    ],
)
def test_a_url_that_cannot_be_used(url: str, fault: str) -> None:
    with pytest.raises(Failure) as raised:
        server_url(url, "--url")
    assert raised.value.message.startswith("--url: the URL ")
    assert fault in raised.value.message


@pytest.mark.parametrize("url", ["http://jo:secret@h", "http://jo:secret@h:abc", "http:/jo:secret@h", "jo:secret@h"])
def test_a_password_in_a_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(Failure) as raised:
        server_url(url, "PULP_URL in the environment")
    assert raised.value.message.startswith("PULP_URL in the environment: the URL holds a user name or a password")
    assert "secret" not in raised.value.message


def test_a_url_is_taken_with_blanks_slashes_and_a_prefix() -> None:
    assert server_url(" http://h:1/ ", "x") == "http://h:1"
    assert server_url("https://h/tasks/", "x") == "https://h/tasks"
    assert with_port("https://h/tasks") == "https://h:443/tasks"
    assert with_port("http://[::1]") == "http://[::1]:80"


def test_each_value_knows_where_it_comes_from(file: Path) -> None:
    file.write_text('url = "http://file"')
    env = {"PULP_ADMIN_CONFIG": str(file)}
    assert read_config({}, env)[0].url_source == str(file)
    assert read_config({}, {**env, "PULP_URL": "http://e"})[0].url_source == "PULP_URL in the environment"
    assert read_config({"url": "http://f"}, {**env, "PULP_URL": "http://e"})[0].url_source == "--url"
    file.write_text("")
    assert read_config({}, env)[0].url_source == "the default"


@pytest.mark.parametrize("value", ["-5", "0", "nan", "inf", "1e300"])
def test_a_timeout_that_is_none(file: Path, value: str) -> None:
    file.write_text(f"timeout_s = {value}")
    message = refused(file)
    assert message.startswith(f"{file}: timeout_s = ")
    assert "a number of seconds above 0 is expected" in message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("timeout_s = true", "timeout_s: a float is expected, not bool"),
        ("verify = 1", "verify: a bool is expected, not int"),
        ("url = true", "url: a str is expected, not bool"),
        ('nmae = "x"', "unknown key 'nmae'"),
        ("url", "is not TOML"),
        ('username = "a:b"', "a user name cannot hold a colon"),
    ],
)
def test_a_file_that_is_wrong(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    assert refused(file).startswith(f"{file}: ")
    assert told in refused(file)


def test_a_byte_order_mark_is_no_part_of_a_file(file: Path, tmp_path: Path) -> None:
    file.write_text('\ufeffusername = "jo"\n', encoding="utf-8")
    password = tmp_path / "password"
    password.write_text("\ufeffsecret\r\n", encoding="utf-8")
    config, _ = read_config({"password_file": str(password)}, {"PULP_ADMIN_CONFIG": str(file)})
    assert (config.username, config.password) == ("jo", "secret")


def test_a_password_file_that_cannot_be_used(file: Path, tmp_path: Path) -> None:
    file.touch()
    empty, latin = tmp_path / "empty", tmp_path / "latin"
    empty.write_text("\n")
    latin.write_bytes(b"\xff")
    assert refused(file, {"password_file": str(empty)}) == f"--password-file {empty}: it is empty"
    assert "it cannot be read" in refused(file, {"password_file": str(latin)})
    assert "it cannot be read" in refused(file, {"password_file": str(tmp_path)})
    assert "it cannot be read" in refused(file, {"password_file": "a\0b"})


def test_what_is_not_utf_8_is_told_but_no_password(file: Path) -> None:
    file.touch()
    assert (
        refused(file, PULP_USERNAME="j\udcff")
        == r"PULP_USERNAME in the environment: username = 'j\udcff': it is not UTF-8"
    )
    assert "sec" not in refused(file, PULP_PASSWORD="sec\udcff")


def test_an_empty_name_of_a_file_counts_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config, _ = read_config({}, {"PULP_ADMIN_CONFIG": "", "PULP_URL": ""})
    assert (config.url_source, config.folder) == ("the default", tmp_path / ".pulp")


def test_nothing_is_kept_beside_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_config({}, {"PULP_ADMIN_CONFIG": os.devnull})[0].folder is None


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As in a container that runs under a number without an account."""

    def home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", home)
    for name in ("PULP_ADMIN_CONFIG", "PULP_URL"):
        monkeypatch.delenv(name, raising=False)
    assert run(["--url", "http://127.0.0.1:1", "status"]) == 78
    assert "The URL is http://127.0.0.1:1, from --url." in capsys.readouterr().err


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_certificates_that_the_environment_names_and_are_not_there(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], variable: str
) -> None:
    file.touch()
    monkeypatch.setenv("PULP_ADMIN_CONFIG", str(file))
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv(variable, "/no/such/place")
    assert run(["--url", "https://127.0.0.1:1", "status"]) == 78
    assert capsys.readouterr().err.startswith(f"{variable} /no/such/place: the certificates cannot be read")


def test_an_argument_that_is_not_utf_8_is_refused_before_anything_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["submit", "echo", "--argument", "a=\udcff"]) == 64
    assert "The argument 'a=\\udcff' is not valid UTF-8." in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-8"])
def test_an_output_that_lacks_a_character_shows_its_escape(encoding: str) -> None:
    script = "import sys; from pulp_admin.main import run; sys.exit(run(['tasks', 'details', '--task-id', 'zoë-漢']))"
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 64
    assert b"is not the id of a task" in result.stderr
    assert b"Traceback" not in result.stderr
