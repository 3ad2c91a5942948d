"""A certificate authority for tests, and certificates that it signs, made by openssl in PEM."""

import subprocess
from pathlib import Path

_DAYS = "2"
_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


class Authority:
    """Signs certificates for localhost and 127.0.0.1."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self.certificate = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        extensions = ("-addext", "basicConstraints=critical,CA:TRUE")
        _openssl(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", _DAYS, *extensions),
            *("-keyout", str(self._key), "-out", str(self.certificate)),
        )

    def sign(self, name: str) -> tuple[Path, Path]:
        """A certificate and its key, for the common name."""
        certificate, key, request = (self._folder / f"{name}.{ending}" for ending in ("pem", "key", "csr"))
        _openssl(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", str(key)),
            *("-out", str(request)),
        )
        extensions = self._folder / f"{name}.ext"
        extensions.write_text(_NAMES + "\n")
        _openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.certificate), "-CAkey", str(self._key)),
            *("-CAcreateserial", "-days", _DAYS, "-extfile", str(extensions), "-out", str(certificate)),
        )
        return certificate, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
