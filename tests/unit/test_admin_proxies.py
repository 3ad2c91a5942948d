"""Proxies of the environment, by curl's rules, and none for this machine."""

from pathlib import Path

import pytest
from pulp_admin.main import run
from pulp_admin.proxies import Proxy, proxy_for

FAR = "https://pulp.example.org"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:24817", "http://localhost:1", "http://[::1]:1", "http://127.9.9.9", "http://a.localhost"]
)
def test_this_machine_is_reached_without(url: str) -> None:
    assert proxy_for(url, {"ALL_PROXY": "socks://nowhere", "HTTP_PROXY": "http://nowhere"}) is None


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({"HTTPS_PROXY": "http://p:1"}, Proxy("http://p:1", "HTTPS_PROXY")),
        ({"https_proxy": "p:1", "HTTPS_PROXY": "http://q:1"}, Proxy("http://p:1", "https_proxy")),
        ({"ALL_PROXY": "http://p:1"}, Proxy("http://p:1", "ALL_PROXY")),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"HTTPS_PROXY": " "}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.org, example.org"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example.org"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "pulp.example.org:443"}, None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample.org"}, Proxy("http://p:1", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "::1,fe80::/10,[::1]"}, Proxy("http://p:1", "HTTPS_PROXY")),
    ],
)
def test_which_proxy(env: dict[str, str], expected: Proxy | None) -> None:
    url = FAR + ":443" if "443" in env.get("NO_PROXY", "") else FAR
    assert proxy_for(url, env) == expected


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, "http://f:3128"),
        ({"HTTP_PROXY": "http://p:1"}, "http://f:3128"),  # for servers without TLS
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"NO_PROXY": "example.org"}, None),
    ],
)
def test_the_proxy_of_a_file_counts_where_the_environment_names_none(env: dict[str, str], expected: str | None) -> None:
    found = proxy_for(FAR, env, Proxy("f:3128", "admin.toml", is_of_file=True))
    assert (None if found is None else found.url) == expected
    assert proxy_for("http://localhost:1", env, Proxy("f:3128", "admin.toml", is_of_file=True)) is None


@pytest.mark.parametrize("rule", ["2001:db8::/32", "2001:db8::1", "[2001:db8::1]"])
def test_addresses_without_a_proxy(rule: str) -> None:
    assert proxy_for("https://[2001:db8::1]", {"ALL_PROXY": "http://p:1", "NO_PROXY": rule}) is None


def test_a_password_of_a_proxy_is_not_shown() -> None:
    assert Proxy("http://jo:secret@p:1", "ALL_PROXY").shown == "http://...@p:1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PULP_ADMIN_CONFIG", str(tmp_path / "admin.toml"))
    (tmp_path / "admin.toml").touch()
    monkeypatch.delenv("PULP_URL", raising=False)
    return tmp_path


@pytest.mark.parametrize("proxy", ["socks://jo:secret@127.0.0.1:1", "nonsense://p", "http://[::1"])
def test_a_proxy_that_cannot_be_used_is_named_with_its_variable(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert run(["--url", "http://pulp.invalid", "status"]) == 78
    error = capsys.readouterr().err
    assert error.startswith("ALL_PROXY=")
    assert "NO_PROXY=pulp.invalid" in error
    assert "secret" not in error


def test_a_dead_proxy_is_not_blamed_on_the_server(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert run(["--url", "http://pulp.invalid", "status"]) == 78
    error = capsys.readouterr().err
    assert error.startswith("The proxy http://127.0.0.1:1 cannot be used to reach the server http://pulp.invalid:80: ")
    assert "named by http_proxy in the environment" in error


def test_a_proxy_of_a_file_is_used_and_named_with_its_place(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = home / "admin.conf"
    conf.write_text("[server]\nhost = pulp.invalid\nproxy_host = 127.0.0.1\nproxy_port = 1\n")
    monkeypatch.setenv("PULP_ADMIN_CONFIG", str(conf))
    assert run(["status"]) == 78
    error = capsys.readouterr().err
    assert error.startswith("The proxy http://127.0.0.1:1 cannot be used to reach the server https://pulp.invalid:443")
    assert f"It is named by {conf}, [server]. To go without: NO_PROXY=pulp.invalid" in error


def test_no_proxy_of_the_environment_disturbs_a_server_on_this_machine(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "::1,fe80::/10")
    assert run(["--url", "http://127.0.0.1:1", "status"]) == 78
    assert "The connection was refused" in capsys.readouterr().err
