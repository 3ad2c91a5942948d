"""TLS before a Postgres that was built without it (the wheel's is): answers SSLRequest, and hands the rest on.

libpq sees a server with TLS that also checks the client's certificate. Only channel binding is impossible.
"""

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

_SSL_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(4)


class Certificates:
    """The test's own CA, and the certificates it signed: a server for `localhost`, and a client."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self.folder, self._name = folder, name
        folder.mkdir(exist_ok=True)
        self.ca = folder / f"{name}.pem"
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-subj", f"/CN={name}", "-keyout", str(folder / f"{name}.key"), "-out", str(self.ca)),
        )

    def signed(self, host: str, *, days: int = 2) -> tuple[Path, Path]:
        """A certificate for a name, and its key."""
        certificate, key, request = (self.folder / f"{host}.{end}" for end in ("pem", "key", "csr"))
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={host}"),
            *("-addext", f"subjectAltName=DNS:{host}", "-keyout", str(key), "-out", str(request)),
        )
        openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.ca), "-CAkey", str(self.ca.with_suffix(".key"))),
            *("-CAcreateserial", "-copy_extensions", "copy", "-days", str(days), "-out", str(certificate)),
        )
        key.chmod(0o600)
        return certificate, key


def openssl(*arguments: str) -> str:
    """The output of the command."""
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, text=True).stdout


@asynccontextmanager
async def tls_before(conninfo: str, certificates: Certificates, *, asks_client: bool = False) -> AsyncIterator[int]:
    """The port of 127.0.0.1 on which Postgres speaks TLS. With `asks_client`, clients need a certificate of this CA."""
    parts = conninfo_to_dict(conninfo)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.signed("localhost"))
    if asks_client:
        context.load_verify_locations(certificates.ca)
        context.verify_mode = ssl.CERT_REQUIRED
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            if await reader.readexactly(8) != _SSL_REQUEST:
                return  # no TLS, no service: as `hostssl` alone in pg_hba.conf
            writer.write(b"S")
            await writer.start_tls(context)
            server = await asyncio.open_connection(str(parts["host"]), int(str(parts["port"])))
            try:
                await asyncio.gather(_pass(reader, server[1]), _pass(server[0], writer))
            finally:
                server[1].transport.abort()
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the end of a connection
        finally:
            serving.discard(task)
            writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield int(listener.sockets[0].getsockname()[1])
    finally:
        listener.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError):
        writer.transport.abort()
