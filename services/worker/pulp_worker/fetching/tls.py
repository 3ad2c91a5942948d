"""The TLS settings for connections without a credential."""

import ssl

import httpx

from pulp_worker.fetching.errors import FetchFailed


def system_tls(*, verify: bool = True) -> ssl.SSLContext:
    """Trusts the system's certificates. Raises `FetchFailed` if SSL_CERT_FILE or SSL_CERT_DIR cannot be read."""
    try:
        return httpx.create_ssl_context(verify=verify)
    except OSError:  # ssl.SSLError is among them
        raise FetchFailed("the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read") from None
