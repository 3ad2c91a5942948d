"""How TLS is spoken where no credential says it."""

import ssl

import httpx

from pulp_worker.fetching.errors import FetchFailed


def system_tls(*, verify: bool = True) -> ssl.SSLContext:
    """Trusts what the system does. Raises `FetchFailed` where SSL_CERT_FILE or SSL_CERT_DIR cannot be read."""
    try:
        return httpx.create_ssl_context(verify=verify)
    except OSError:  # among them ssl.SSLError
        raise FetchFailed("the certificates that SSL_CERT_FILE or SSL_CERT_DIR names cannot be read") from None
