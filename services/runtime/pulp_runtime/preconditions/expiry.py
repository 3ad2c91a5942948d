"""Certificates that are about to expire."""

import re
import ssl
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pulp_events.findings import Finding, Severity

SOON_S: Final = 14 * 86_400
_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17


def look(files: Iterable[Path]) -> list[Finding]:
    """Findings about certificates in PEM files. An unreadable file is reported where it is used, not here."""
    return [finding for path in files for finding in _judge(path, time.time())]


def expiry_s(certificate: bytes) -> float:
    """When a DER certificate (RFC 5280, 4.1) expires, in seconds since the epoch. Raises `ValueError`."""
    try:
        (whole,) = _values(certificate)
        signed = next(_values(whole[1]))
        fields = [each for each in _values(signed[1]) if each[0] != _VERSION]
        _, (kind, text) = _values(fields[3][1])  # serial number, signature, issuer, validity
        return _time_s(kind, text.decode("ascii"))
    except (IndexError, StopIteration) as error:
        raise ValueError("this is not a certificate") from error


def _judge(path: Path, now_s: float) -> list[Finding]:
    try:
        found = [expiry_s(ssl.PEM_cert_to_DER_cert(each)) for each in _PEM.findall(path.read_text("ascii"))]
    except (OSError, ValueError):
        return []
    if not found or min(found) - now_s > SOON_S:
        return []
    ends = datetime.fromtimestamp(min(found), UTC)
    wrong = f"a certificate in it {'has expired' if min(found) <= now_s else 'expires'} on {ends:%Y-%m-%d %H:%M} UTC"
    mend = "put a new one in its place"
    return [Finding("certificate-expiry", str(path), Severity.WARNING, wrong, "connections are refused then", mend)]


def _values(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and content of each value in a sequence (X.690, 8.1)."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            count = length & 0x7F
            length, at = int.from_bytes(data[at : at + count]), at + count
        yield tag, data[at : at + length]
        at += length


def _time_s(kind: int, text: str) -> float:
    form = "%y%m%d%H%M%SZ" if kind == _UTC_TIME else "%Y%m%d%H%M%SZ"
    return datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
