"""Postgres over TLS, by the settings of a process: the server is checked, and so may be the client."""

import ssl
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from pulp_api.main import connection_pool
from pulp_events.settings import SettingsError
from pulp_events.topics import Topics
from pulp_projections.connection import check, connect, connect_blocking
from pulp_runtime.preconditions import expiry
from pulp_runtime.preconditions.looking import Place, look

from tests.support.postgres_tls import Certificates, openssl, tls_before


def reached_by(database: str, port: int, host: str = "localhost") -> str:
    """The connection string through TLS, which does not mention TLS itself."""
    parts = {key: value for key, value in conninfo_to_dict(database).items() if key not in ("sslmode", "gssencmode")}
    password = Path(str(parts.pop("passfile"))).read_text().strip().rsplit(":", 1)[1]
    return make_conninfo("", **{**parts, "password": password, "host": host, "hostaddr": "127.0.0.1", "port": port})


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "certificates")


async def test_each_kind_of_connection_checks_the_server(
    database: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULP_POSTGRES_SSLMODE", "verify-full")
    monkeypatch.setenv("PULP_POSTGRES_SSLROOTCERT", str(certificates.ca))
    async with tls_before(database, certificates) as port:
        conninfo = reached_by(database, port)
        async with await connect(conninfo, "test") as connection:
            assert connection.pgconn.ssl_in_use
        async with connection_pool(conninfo, 1) as pool, pool.connection() as connection:
            assert connection.pgconn.ssl_in_use
        with pytest.raises(psycopg.OperationalError, match="does not match host name"):
            await connect(reached_by(database, port, "postgres.example"), "test")


async def test_a_server_of_another_ca_is_refused(
    database: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = Certificates(tmp_path / "others", "other")
    monkeypatch.setenv("PULP_POSTGRES_SSLMODE", "verify-full")
    monkeypatch.setenv("PULP_POSTGRES_SSLROOTCERT", str(other.ca))
    async with tls_before(database, certificates) as port:
        with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
            await connect(reached_by(database, port), "test")


async def test_a_client_shows_its_certificate(
    database: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = certificates.signed("processor")
    monkeypatch.setenv("PULP_POSTGRES_SSLMODE", "verify-full")
    monkeypatch.setenv("PULP_POSTGRES_SSLROOTCERT", str(certificates.ca))
    async with tls_before(database, certificates, asks_client=True) as port:
        conninfo = reached_by(database, port)
        with pytest.raises(psycopg.OperationalError):
            await connect(conninfo, "test")
        monkeypatch.setenv("PULP_POSTGRES_SSLCERT", str(certificate))
        monkeypatch.setenv("PULP_POSTGRES_SSLKEY", str(key))
        async with await connect(conninfo, "test") as connection:
            assert connection.pgconn.ssl_in_use


async def test_what_the_connection_string_says_of_tls_goes_before_the_settings(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULP_POSTGRES_SSLMODE", "verify-full")
    monkeypatch.setenv("PULP_POSTGRES_SSLROOTCERT", "/no/such/file")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    with connect_blocking(make_conninfo(database, sslmode="disable"), "test") as connection:
        assert not connection.pgconn.ssl_in_use


async def test_a_certificate_that_expires_soon_is_told(certificates: Certificates, tmp_path: Path) -> None:
    """The test's certificates are valid for two days; an invalid file is reported by the process that needs it."""
    (tmp_path / "none.pem").write_text("no certificate")
    soon, _ = certificates.signed("soon")
    later, _ = certificates.signed("later", days=15)
    found = expiry.look([soon, later, tmp_path / "none.pem", tmp_path / "absent.pem"])
    assert [(each.check, each.subject) for each in found] == [("certificate-expiry", str(soon))]
    der = ssl.PEM_cert_to_DER_cert(later.read_text())
    said = openssl("x509", "-in", str(later), "-noout", "-enddate")
    assert expiry.expiry_s(der) == ssl.cert_time_to_seconds(said.strip().removeprefix("notAfter="))
    place = Place(
        kafka=None, postgres=f"host=127.0.0.1 port=1 sslrootcert='{certificates.ca}'", topics=Topics.named("t")
    )
    assert str(certificates.ca) in {each.subject for each in (await look(place)).findings}


def test_settings_of_tls_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PULP_POSTGRES_SSLMODE", "verify_full")
    with pytest.raises(SettingsError, match="PULP_POSTGRES_SSLMODE='verify_full': one of disable"):
        check("host=db")
    monkeypatch.setenv("PULP_POSTGRES_SSLMODE", "verify-full")
    for key in ("SSLROOTCERT", "SSLCERT", "SSLKEY"):
        with monkeypatch.context() as context:
            context.setenv(f"PULP_POSTGRES_{key}", str(tmp_path / "none.pem"))
            with pytest.raises(SettingsError, match=f"PULP_POSTGRES_{key}=.*none.pem"):
                check("host=db")
    monkeypatch.setenv("PULP_POSTGRES_SSLROOTCERT", "system")
    check("host=db")
