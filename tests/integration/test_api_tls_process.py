"""The API's process with TLS, and `pulp-admin` against it, with a CA that nobody else knows."""

import asyncio
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pulp_events.topics import Topics

from tests.support.api_process import ApiProcess, add_admin, api_process
from tests.support.backends import Backend
from tests.support.command import environment
from tests.support.postgres_tls import Certificates
from tests.support.raw_http import connected
from tests.support.site import PASSWORD


@pytest.fixture
def ca(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.fixture
async def api(
    backend: Backend, database: str, topics: Topics, tmp_path: Path, ca: Certificates
) -> AsyncIterator[ApiProcess]:
    await add_admin(database)
    certificate, key = ca.signed("localhost")
    settings = {"PULP_API_TLS_CERTIFICATE": str(certificate), "PULP_API_TLS_KEY": str(key)}
    async with api_process(backend.kafka, database, topics, tmp_path, settings=settings) as made:
        yield made


def configure(home: Path, text: str = "") -> None:
    """Write the client's configuration."""
    (home / ".pulp").mkdir(exist_ok=True)
    (home / ".pulp" / "admin.toml").write_text(text)


async def admin(home: Path, api: ApiProcess, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run `pulp-admin` with the server name of the certificate."""
    names = {"PULP_URL": f"https://localhost:{api.port}", "PULP_USERNAME": "admin", "PULP_PASSWORD": PASSWORD}
    return await asyncio.to_thread(
        subprocess.run,
        [str(Path(sys.executable).with_name("pulp-admin")), *arguments],
        env=environment(home, **{**names, **more}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def test_pulp_admin_trusts_a_private_ca_that_it_was_told(
    api: ApiProcess, ca: Certificates, tmp_path: Path
) -> None:
    configure(tmp_path)
    listing = ("--output", "json", "tasks", "list")
    by_flag = await admin(tmp_path, api, "--ca-file", str(ca.ca), *listing)
    by_variable = await admin(tmp_path, api, *listing, PULP_CA_FILE=str(ca.ca))
    configure(tmp_path, f'ca_file = "{ca.ca}"\n')
    by_file = await admin(tmp_path, api, *listing)
    for result in (by_flag, by_variable, by_file):
        assert (result.returncode, result.stdout.strip()) == (0, "[]"), result.stderr


async def test_pulp_admin_trusts_no_other_and_says_what_to_do(
    api: ApiProcess, ca: Certificates, tmp_path: Path
) -> None:
    configure(tmp_path)
    other = Certificates(tmp_path / "other", "other")
    for told in ({}, {"PULP_CA_FILE": str(other.ca)}):
        result = await admin(tmp_path, api, "tasks", "list", **told)
        assert result.returncode == 78
        assert "cannot be trusted" in result.stderr
        assert "--ca-file" in result.stderr
    plain = await admin(tmp_path, api, "tasks", "list", PULP_URL=f"http://localhost:{api.port}")
    assert plain.returncode in (75, 78), plain.stderr
    assert "Traceback" not in plain.stderr


async def test_the_certificate_is_changed_without_a_restart(api: ApiProcess, ca: Certificates, tmp_path: Path) -> None:
    trusting = ssl.create_default_context(cafile=ca.ca)

    async def serial() -> str:
        async with connected(api.port, tls=trusting) as raw:
            return str(raw.writer.get_extra_info("peercert")["serialNumber"])

    first = await serial()
    ca.signed("localhost")
    api.process.send_signal(signal.SIGHUP)
    await api.said("the TLS certificate was reloaded")
    assert await serial() != first
    overwrite(ca.folder / "localhost.pem")
    await api.said("the new TLS files cannot be used")  # without a signal
    assert await serial() != first
    assert await api.stopped() == 0
    assert "Traceback" not in api.output()


def overwrite(path: Path) -> None:
    path.write_text("half a certificate")


async def test_files_that_cannot_be_used_end_the_start_with_their_names(
    backend: Backend, database: str, topics: Topics, tmp_path: Path
) -> None:
    settings = {"PULP_API_TLS_CERTIFICATE": "/missing.pem", "PULP_API_TLS_KEY": "/missing.key"}
    async with api_process(backend.kafka, database, topics, tmp_path, ready=False, settings=settings) as api:
        assert await api.ended() == 78
        assert "PULP_API_TLS_CERTIFICATE=/missing.pem" in api.output()
        assert "Traceback" not in api.output()


def conf(home: Path, api: ApiProcess, name: str = "admin.conf", **server: str) -> Path:
    """Write a configuration of Pulp 2's client: the server and the user."""
    names = {"host": "localhost", "port": str(api.port), **server}
    lines = ["[server]", *(f"{key} = {value}" for key, value in names.items())]
    path = home / ".pulp" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([*lines, "[auth]", "username = admin", f"password = {PASSWORD}", ""]))
    path.chmod(0o600)
    return path


async def as_pulp_2(home: Path, api: ApiProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run `pulp-admin` with nothing but the files of a home."""
    nothing = {"PULP_ADMIN_CONFIG": "", "PULP_URL": "", "PULP_USERNAME": "", "PULP_PASSWORD": "", "HOME": str(home)}
    return await admin(home, api, *arguments, **nothing)


async def test_the_words_of_pulp_2s_configuration_reach_a_server_with_tls(
    api: ApiProcess, ca: Certificates, tmp_path: Path
) -> None:
    conf(tmp_path, api, ca_path=str(ca.ca), verify_ssl="True")
    listing = ("--output", "json", "tasks", "list")
    trusted = await as_pulp_2(tmp_path, api, *listing)
    assert (trusted.returncode, trusted.stdout.strip()) == (0, "[]"), trusted.stderr
    other = Certificates(tmp_path / "other", "other")
    conf(tmp_path, api, ca_path=str(other.ca))
    untrusted = await as_pulp_2(tmp_path, api, *listing)
    assert (untrusted.returncode, "cannot be trusted" in untrusted.stderr) == (78, True), untrusted.stderr
    unchecked = await as_pulp_2(
        tmp_path, api, "--config", str(conf(tmp_path, api, "any.conf", verify_ssl="False")), *listing
    )
    assert (unchecked.returncode, unchecked.stdout.strip()) == (0, "[]"), unchecked.stderr


async def test_an_authority_may_be_a_folder_and_a_missing_one_is_told(
    api: ApiProcess, ca: Certificates, tmp_path: Path
) -> None:
    folder = tmp_path / "trusted"
    folder.mkdir()
    shutil.copy(ca.ca, folder / "ca.pem")
    await asyncio.to_thread(subprocess.run, ["openssl", "rehash", str(folder)], check=True)
    conf(tmp_path, api, ca_path=str(folder))
    by_folder = await as_pulp_2(tmp_path, api, "--output", "json", "tasks", "list")
    assert (by_folder.returncode, by_folder.stdout.strip()) == (0, "[]"), by_folder.stderr
    conf(tmp_path, api, ca_path="/no/such/ca.pem")
    missing = await as_pulp_2(tmp_path, api, "tasks", "list")
    assert missing.returncode == 78
    where = f"{tmp_path}/.pulp/admin.conf, [server]"
    assert missing.stderr.startswith(f"ca_file /no/such/ca.pem, from {where}: the certificates cannot be read")


async def test_a_name_that_is_not_the_certificates_is_not_trusted(
    api: ApiProcess, ca: Certificates, tmp_path: Path
) -> None:
    conf(tmp_path, api, host="127.0.0.1", ca_path=str(ca.ca))
    result = await as_pulp_2(tmp_path, api, "tasks", "list")
    assert result.returncode == 78
    assert "cannot be trusted" in result.stderr
