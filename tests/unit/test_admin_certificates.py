"""What `pulp-admin` says about certificates that it cannot accept, over real TLS connections."""

import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pulp_admin.main import run

DAY = timedelta(days=1)


def certificate(folder: Path, address: str, begins: datetime, ends: datetime) -> Path:
    """A certificate that signs itself, with its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pulp")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, ends)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
    return path


class Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Clients that end the handshake are the point here."""


@contextmanager
def serving(pem: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = Quiet(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("address", "days", "is_named", "remedy"),
    [
        ("127.0.0.1", (-2, -1), True, "Have the certificate renewed, or set the clock of this machine"),
        ("127.0.0.1", (1, 2), True, "Have the certificate renewed, or set the clock of this machine"),
        ("127.0.0.2", (-1, 1), True, "Name the server in the URL as its certificate does"),
        ("127.0.0.1", (-1, 1), False, "Name the certificates to trust with --ca-file"),
    ],
)
def test_each_fault_of_a_certificate_has_its_remedy(
    address: str,
    days: tuple[int, int],
    is_named: bool,
    remedy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PULP_ADMIN_CONFIG", "/dev/null")
    begins, ends = (datetime.now(UTC) + each * DAY for each in days)
    pem = certificate(tmp_path, address, begins, ends)
    with serving(pem) as url:
        trusted = ("--ca-file", str(pem)) if is_named else ()
        assert run(["--url", url, *trusted, "-u", "jo", "-p", "x", "status"]) == 78
    error = capsys.readouterr().err
    assert error.startswith("The certificate of the server [127.0.0.1] cannot be trusted: ")
    assert error.splitlines()[1].startswith(remedy)
    assert len(error.splitlines()) == 2
