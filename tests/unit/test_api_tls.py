"""TLS of the API's server: the certificate, the accepted clients, changes of the certificate, and clients without
TLS."""

import asyncio
import logging
import os
import signal
import ssl
import subprocess
from pathlib import Path

import pytest
from pulp_api.front.limits import Limits
from pulp_api.front.tls import Certificates as Served
from pulp_api.front.tls import TlsFiles
from pulp_events.settings import SettingsError

from tests.support.http_server import Serving, serving
from tests.support.postgres_tls import Certificates
from tests.support.raw_http import Raw, connected

GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def ca(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls")


@pytest.fixture
def files(ca: Certificates) -> TlsFiles:
    certificate, key = ca.signed("localhost")
    return TlsFiles(certificate=str(certificate), key=str(key))


def trusting(ca: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca.ca)


async def serial(site: Serving, ca: Certificates) -> str:
    """The serial number of the certificate that a new connection gets."""
    async with connected(site.port, tls=trusting(ca)) as raw:
        found = raw.writer.get_extra_info("peercert")
        return str(found["serialNumber"])


async def answered(raw: Raw) -> dict[str, str]:
    """The fields of the answer to a request."""
    await raw.send(GET)
    answer = await raw.answer()
    assert answer is not None
    assert answer.status == 200
    return answer.headers


async def test_requests_are_answered_over_tls_and_browsers_told_to_stay_there(
    ca: Certificates, files: TlsFiles
) -> None:
    edge = {"hsts_s": 600}
    async with (
        serving(certificates=Served(files), edge=edge) as site,
        connected(site.port, tls=trusting(ca)) as raw,
    ):
        for _ in range(2):
            assert (await answered(raw))["strict-transport-security"] == "max-age=600"
        await raw.send(b"GET /large/5000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = await raw.answer()
        assert answer is not None
        assert len(answer.body) == 5_000_000
    async with serving(certificates=Served(files)) as site, connected(site.port, tls=trusting(ca)) as raw:
        assert "strict-transport-security" not in await answered(raw)
    async with serving(edge=edge) as site, connected(site.port) as raw:
        assert "strict-transport-security" not in await answered(raw)


async def test_old_versions_are_refused(ca: Certificates, files: TlsFiles) -> None:
    async with serving(certificates=Served(files)) as site:
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = trusting(ca)
            context.minimum_version = context.maximum_version = version
            async with connected(site.port, tls=context) as raw:
                await answered(raw)
        refused = await asyncio.to_thread(
            subprocess.run,
            ["openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"],
            input=b"",
            capture_output=True,
            check=False,
        )
        assert b"BEGIN CERTIFICATE" not in refused.stdout


async def test_a_client_certificate_can_be_demanded(ca: Certificates, files: TlsFiles, tmp_path: Path) -> None:
    demanding = TlsFiles(certificate=files.certificate, key=files.key, client_ca=str(ca.ca))
    stranger = Certificates(tmp_path / "other", "other").signed("stranger")
    async with serving(certificates=Served(demanding)) as site:
        known = trusting(ca)
        known.load_cert_chain(*ca.signed("friend"))
        async with connected(site.port, tls=known) as raw:
            await answered(raw)
        unknown = trusting(ca)
        unknown.load_cert_chain(*stranger)
        for context in (trusting(ca), unknown):
            with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)):
                async with connected(site.port, tls=context) as raw:
                    await answered(raw)


async def test_a_new_certificate_is_used_without_a_restart_and_a_broken_one_is_not(
    ca: Certificates, files: TlsFiles, caplog: pytest.LogCaptureFixture
) -> None:
    served = Served(files)
    async with serving(certificates=served) as site:
        first = await serial(site, ca)
        async with connected(site.port, tls=trusting(ca)) as open_before:
            overwrite(files.certificate, "half a certificate")
            with caplog.at_level(logging.INFO):
                os.kill(os.getpid(), signal.SIGHUP)
                await until_logged(caplog, "the new TLS files cannot be used: the old certificate stays")
            assert await serial(site, ca) == first

            ca.signed("localhost")  # in place of the old files
            caplog.clear()
            with caplog.at_level(logging.INFO):
                os.kill(os.getpid(), signal.SIGHUP)
                await until_logged(caplog, "the TLS certificate was reloaded")
            second = await serial(site, ca)
            assert second != first

            ca.signed("localhost")
            served.reload_if_changed()  # as every few seconds
            assert await serial(site, ca) not in (first, second)
            caplog.clear()
            served.reload_if_changed()
            assert caplog.records == []  # nothing has changed
            await answered(open_before)


def overwrite(path: str, text: str) -> None:
    Path(path).write_text(text)


async def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    async with asyncio.timeout(30):
        while text not in caplog.messages:  # noqa: ASYNC110  # a signal tells nobody when it was heeded
            await asyncio.sleep(0.01)


async def test_a_client_without_tls_is_not_kept_waiting(ca: Certificates, files: TlsFiles) -> None:
    async with serving(certificates=Served(files)) as site:
        async with connected(site.port) as raw:
            await raw.send(GET)
            assert await raw.is_closed()
        async with connected(site.port, tls=trusting(ca)) as raw:
            await answered(raw)
        await site.down_to(0)


async def test_who_does_not_finish_the_handshake_makes_room_for_others(ca: Certificates, files: TlsFiles) -> None:
    limits = Limits(clients=20, clients_per_address=20)
    async with serving(certificates=Served(files), limits=limits) as site:
        silent = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(60)]
        try:
            for number, (_, writer) in enumerate(silent):
                writer.write(b"\x16\x03\x01\x02\x00\x01" if number % 2 else b"")
            for _ in range(5):
                async with connected(site.port, tls=trusting(ca)) as raw:
                    await answered(raw)
            assert site.connections <= 20
        finally:
            for _, writer in silent:
                writer.close()


async def test_who_takes_too_little_over_tls_is_cut_off(ca: Certificates, files: TlsFiles) -> None:
    limits = Limits(stalled_s=1, least_rate=1_000_000)
    async with (
        serving(certificates=Served(files), limits=limits) as site,
        connected(site.port, tls=trusting(ca)) as raw,
    ):
        raw.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await raw.send(b"GET /large/20000000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with connected(site.port, tls=trusting(ca)) as other:
            await answered(other)
        await site.down_to(0)
        assert site.server.watch.unsent == 0


def test_an_encrypted_key_needs_its_password(ca: Certificates, files: TlsFiles, tmp_path: Path) -> None:
    key, password = tmp_path / "encrypted.key", tmp_path / "password"
    subprocess.run(["openssl", "pkey", "-in", files.key, "-aes256", "-passout", "pass:sesame", "-out", key], check=True)
    password.write_text("sesame\n")
    Served(TlsFiles(certificate=files.certificate, key=str(key), key_password_file=str(password)))
    with pytest.raises(SettingsError, match="PULP_API_TLS_KEY_PASSWORD_FILE"):  # and nobody is prompted on the terminal
        Served(TlsFiles(certificate=files.certificate, key=str(key)))
    password.write_text("wrong")
    with pytest.raises(SettingsError, match="PULP_API_TLS_KEY") as refused:
        Served(TlsFiles(certificate=files.certificate, key=str(key), key_password_file=str(password)))
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize("part", ["certificate", "key", "key_password_file", "client_ca"])
def test_a_file_that_cannot_be_used_is_named(files: TlsFiles, tmp_path: Path, part: str) -> None:
    names = {"certificate": files.certificate, "key": files.key, part: str(tmp_path / "missing")}
    with pytest.raises(SettingsError, match=f"PULP_API_TLS_{part.upper()}.*missing"):
        Served(TlsFiles(**names))
