"""The configuration of Pulp 2's client: where it is found, what it says, and what overrides what."""

import socket
from pathlib import Path
from typing import Any

import pytest
from pulp_admin import config_files
from pulp_admin.config import Config, read_config
from pulp_admin.errors import Failure
from pulp_console.exits import CONFIG

SHIPPED = """\
[server]
host = pulp.example.org
port = 443
api_prefix = /pulp/api
# Set this to False to trust any certificate.
verify_ssl = True
ca_path = /etc/pki/tls/certs/ca-bundle.crt
upload_chunk_size = 1048576

[client]
role = admin

[filesystem]
extensions_dir = /usr/lib/pulp/admin/extensions
id_cert_dir = ~/.pulp

[output]
poll_frequency_in_seconds = 1
wrap_width = 80
"""
"""The names of the file that Pulp 2.21 ships."""


class Machine:
    """A home and a folder for the site, both empty."""

    def __init__(self, folder: Path) -> None:
        self.home, self.site = folder / "home" / ".pulp", folder / "site"
        for each in (self.home, self.site / "conf.d"):
            each.mkdir(parents=True)

    def write(self, path: Path, text: str, mode: int = 0o600) -> Path:
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def read(self, flags: dict[str, Any] | None = None, **env: str) -> Config:
        config, self.warnings = read_config(flags or {}, env)
        return config

    def refused(self, flags: dict[str, Any] | None = None, **env: str) -> str:
        with pytest.raises(Failure) as raised:
            self.read(flags, **env)
        assert raised.value.code == CONFIG
        return raised.value.message


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(tmp_path)
    monkeypatch.setenv("HOME", str(found.home.parent))
    monkeypatch.setattr(config_files, "SITE", found.site)
    return found


def test_the_file_as_it_is_shipped(machine: Machine) -> None:
    machine.write(machine.site / "admin.conf", SHIPPED, 0o644)
    config = machine.read()
    assert (config.url, config.verify, config.ca_file) == (
        "https://pulp.example.org:443",
        True,
        "/etc/pki/tls/certs/ca-bundle.crt",
    )
    assert (config.username, config.password, machine.warnings) == (None, None, [])
    assert config.url_source == f"{machine.site}/admin.conf, [server]"


def test_each_place_goes_before_those_below_it(machine: Machine) -> None:
    def url() -> str:
        return machine.read(flags, **env).url

    flags: dict[str, Any] = {}
    env: dict[str, str] = {}
    assert url() == "http://127.0.0.1:24817"
    machine.write(machine.site / "admin.conf", "[server]\nhost = a\n")
    assert url() == "https://a:443"
    machine.write(machine.site / "conf.d" / "20-site.conf", "[server]\nhost = c\n")
    machine.write(machine.site / "conf.d" / "10-site.conf", "[server]\nhost = b\nport = 8443\n")
    machine.write(machine.site / "conf.d" / ".swp", "[server]\nhost = no\n")
    assert url() == "https://c:8443"
    machine.write(machine.home / "admin.conf", "[server]\nhost = d\n")
    assert url() == "https://d:8443"
    machine.write(machine.home / "admin.toml", 'url = "http://e"\n')
    assert url() == "http://e"
    flags["config"] = str(machine.write(machine.home / "other", "[server]\nport = 9443\n"))
    assert url() == "https://d:9443"
    flags["config"] = str(machine.write(machine.site / "conf.d" / "admin.toml", 'url = "http://g"\n'))
    assert url() == "http://g"
    flags["config"] = str(machine.home / "other")
    env["PULP_URL"] = "http://f"
    assert url() == "http://f"
    flags["url"] = "http://g"
    assert url() == "http://g"


def test_a_file_that_the_environment_names_stands_alone(machine: Machine) -> None:
    machine.write(machine.site / "admin.conf", "[server]\nhost = a\nport = 1\n")
    machine.write(machine.home / "admin.conf", "[auth]\nusername = jo\npassword = p\n")
    named = machine.write(machine.home / "named", "[server]\nhost = z\n")
    config = machine.read(PULP_ADMIN_CONFIG=str(named))
    assert (config.url, config.username) == ("https://z:443", None)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("[server]\nport = 8443\n", f"https://{socket.gethostname()}:8443"),
        ("[server]\nhost = ::1\n", "https://[::1]:443"),
        ("[server]\nhost = [::1]\n", "https://[::1]:443"),
        ("[server]\nhost = h\napi_prefix = /tasks/pulp/api/\n", "https://h:443/tasks"),
        ("[server]\nhost: h\n", "https://h:443"),
        ("[server]\nhost = 2001:db8::1\n", "https://[2001:db8::1]:443"),
        ("[server]\nhost = bücher.example\n", "https://bücher.example:443"),
        ("[server]\nhost = my_host-1.example\n", "https://my_host-1.example:443"),
        ("; a comment\n# another\n[SERVER]\n[server]\nHOST = h\n", "https://h:443"),
        ("\ufeff[server]\nhost = h\nhost = i\n", "https://i:443"),
        ("[server]\nverify_ssl = no\n", "http://127.0.0.1:24817"),
    ],
)
def test_the_server(machine: Machine, text: str, url: str) -> None:
    machine.write(machine.home / "admin.conf", text)
    assert machine.read().url == url


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("proxy_host = proxy.example.org", "http://proxy.example.org:3128"),
        ("proxy_host = ::1\nproxy_port = 8080", "http://[::1]:8080"),
        ("proxy_port = 8080", None),
        ("proxy_host =", None),
        ("host = h", None),
    ],
)
def test_the_proxy(machine: Machine, text: str, proxy: str | None) -> None:
    """Pulp 2's client uses it; the port defaults to the one that its file names."""
    machine.write(machine.site / "admin.conf", f"[server]\n{text}\n")
    assert (machine.read().proxy, machine.warnings) == (proxy, [])
    machine.write(machine.home / "admin.conf", "[server]\nproxy_host =\n")
    assert machine.read().proxy is None
    machine.write(machine.home / "admin.conf", "[server]\nproxy_host = own\nproxy_port = 1\n")
    assert machine.read().proxy == "http://own:1"
    machine.write(machine.home / "admin.toml", 'proxy = "https://other:2"\n')
    assert machine.read().proxy == "https://other:2"


@pytest.mark.parametrize(
    ("text", "verify"), [("False", False), ("no", False), ("0", False), ("TRUE", True), ("1", True)]
)
def test_whether_certificates_are_checked(machine: Machine, text: str, verify: bool) -> None:
    machine.write(machine.home / "admin.conf", f"[server]\nverify_ssl = {text}\n")
    assert machine.read().verify is verify


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[server]\nhost = h\nport = https\n", "[server]: port = 'https': a number from 1 to 65535 is expected"),
        ("[server]\nhost = h\nport = 99999\n", "a port is a number from 1 to 65535"),
        ("[server]\nhost = h\napi_prefix = /api\n", "api_prefix = '/api': it has to end in /pulp/api"),
        (
            "[server]\nproxy_host = http://p\n",
            "[server]: proxy_host = 'http://p': the name or the address of a machine",
        ),
        (
            "[server]\nproxy_host = p\nproxy_port = x\n",
            "[server]: proxy_port = 'x': a number from 1 to 65535 is expected",
        ),
        ("[server]\nverify_ssl = maybe\n", "verify_ssl = 'maybe': true or false is expected"),
        ("[auth]\nusername = a:b\n", "a user name cannot hold a colon"),
        ("[server\nhost = h\n", "line 1: a [section] or NAME = VALUE is expected"),
        ("# a comment\nhost = h\n", "line 2 is in no section: put [server] or [auth] before it"),
        *(
            (
                f"[server]\nhost = {host}\n",
                f"[server]: host = {host!r}: the name or the address of a machine is expected",
            )
            for host in ("https://h", "h:443", "h/pulp", '"h"', "h # a comment", "jo@h", "127.0.0.1:443")
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(machine: Machine, text: str, told: str) -> None:
    path = machine.write(machine.home / "admin.conf", text)
    message = machine.refused()
    assert message.startswith(str(path))
    assert told in message


def test_a_line_that_is_wrong_is_not_repeated(machine: Machine) -> None:
    path = machine.write(machine.home / "admin.conf", "[auth]\nusername = jo\npassword hunter2\n")
    assert machine.refused() == f"{path}: line 3: a [section] or NAME = VALUE is expected"


def test_a_name_that_pulp_does_not_know_is_told(machine: Machine) -> None:
    machine.write(machine.home / "admin.conf", "[server]\nhots = h\n[strange]\nx = 1\n")
    machine.read()
    assert [text.partition(": ")[2] for text in machine.warnings] == [
        f"{machine.home}/admin.conf, [server]: hots is unknown, and ignored; known are: host, port, api_prefix,"
        " verify_ssl, ca_path, upload_chunk_size, proxy_host, proxy_port"
    ]


def test_a_section_that_is_almost_one_of_pulps_is_told(machine: Machine) -> None:
    machine.write(machine.home / "admin.conf", "[Server]\nhost = h\n[ auth ]\nusername = jo\n[rhsm]\nx = 1\n")
    assert machine.read().url == "http://127.0.0.1:24817"
    assert machine.warnings == [
        f"warning: {machine.home}/admin.conf: [Server] is ignored; the section that counts is [server]",
        f"warning: {machine.home}/admin.conf: [ auth ] is ignored; the section that counts is [auth]",
    ]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_password_that_others_may_read_is_refused_in_the_users_file(machine: Machine, mode: int) -> None:
    path = machine.write(machine.home / "admin.conf", "[auth]\nusername = jo\npassword = hunter2\n", mode)
    assert machine.refused() == f"{path}: it holds a password, and others may read it: chmod 600 {path}"
    path.chmod(0o400)
    assert machine.read().password == "hunter2"


def test_any_file_without_a_password_may_be_readable_and_that_of_the_site_in_any_case(machine: Machine) -> None:
    machine.write(machine.home / "admin.conf", "[server]\nhost = h\n", 0o644)
    machine.write(machine.site / "admin.conf", "[auth]\nusername = jo\npassword = 100%\n", 0o644)
    config = machine.read()
    assert (config.username, config.password, machine.warnings) == ("jo", "100%", [])


def test_a_password_counts_for_its_user_alone(machine: Machine) -> None:
    machine.write(machine.home / "admin.conf", "[auth]\nusername = jo\npassword = p\n")

    def who(flags: dict[str, Any] | None = None, **env: str) -> tuple[str | None, str | None]:
        config = machine.read(flags, **env)
        return config.username, config.password

    assert who() == ("jo", "p")
    assert who({"username": "jo"}) == ("jo", "p")
    assert who({"username": "ann"}) == ("ann", None)
    assert who(PULP_USERNAME="ann") == ("ann", None)
    assert who({"password": "q"}) == ("jo", "q")
    assert who({"username": "ann", "password": "q"}) == ("ann", "q")
    assert who({"username": "ann"}, PULP_PASSWORD="q") == ("ann", "q")
    machine.write(machine.home / "admin.toml", 'username = "sue"\n')
    assert who() == ("sue", None)


def test_a_file_of_the_option_that_is_not_there(machine: Machine) -> None:
    path = machine.home / "none"
    assert machine.refused({"config": str(path)}) == f"{path}: the configuration named by --config is not there"


def test_a_file_that_cannot_be_read(machine: Machine) -> None:
    (machine.home / "admin.conf").write_bytes(b"[server]\nhost = \xff\n")
    assert "the configuration is not UTF-8 (the byte at 16): save it in UTF-8" in machine.refused()
    (machine.home / "admin.conf").write_text("[server]\nhost = h\n", encoding="utf-16")
    assert "the configuration is not UTF-8 (the byte at 0): save it in UTF-8" in machine.refused()


def test_a_remark_behind_a_value_is_no_part_of_it(machine: Machine) -> None:
    """A semicolon after a blank begins a remark, as in the files that Pulp 2 reads; any other is part of the value."""
    text = "[server]\nhost = pulp.example.org ; the new one\nport = 8443\t;\nverify_ssl = false ; for now\n"
    machine.write(machine.home / "admin.conf", text + "[auth]\nusername = jo ; me\npassword = a;b#c # d ; e\n", 0o600)
    config = machine.read()
    assert (config.url, config.verify) == ("https://pulp.example.org:8443", False)
    assert (config.username, config.password) == ("jo", "a;b#c # d ; e")
