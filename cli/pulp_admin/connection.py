"""The HTTP connection to the server: certificates, proxies, and messages for connection failures."""

import os
import ssl
from collections.abc import Generator, Mapping
from typing import Final
from urllib.parse import urlsplit

import httpx
from pulp_console.exits import CONFIG, TEMPORARY

from pulp_admin.config import Config
from pulp_admin.errors import Failure, Unreachable, why
from pulp_admin.proxies import Proxy, proxy_for
from pulp_admin.server_url import with_port
from pulp_admin.settings import DEFAULT_URL

_UNKNOWN_HOST: Final = ("Name or service", "nodename", "getaddrinfo", "name resolution", "No address associated")


class Connection:
    """A configured connection to the server; `http` sends the requests."""

    def __init__(self, config: Config, transport: httpx.BaseTransport | None = None) -> None:
        """Raises `Failure` (78) if no request can be sent with these settings."""
        self._config = config
        of_file = None if config.proxy is None else Proxy(config.proxy, config.proxy_source, is_of_file=True)
        self._proxy = proxy_for(config.url, os.environ, of_file) if transport is None else None
        trust = _trust(config, os.environ)
        try:
            # The environment was read above: the library would fail on values for other servers.
            self.http = httpx.Client(
                base_url=config.url,
                auth=_auth(config),
                timeout=config.timeout_s,
                transport=transport,
                verify=trust,
                proxy=None if self._proxy is None else self._proxy.url,
                trust_env=False,
            )
        except (ValueError, ImportError, httpx.InvalidURL) as error:
            raise self._unusable(error) from error

    def failure(self, error: httpx.RequestError) -> Failure:
        """Return the failure for a request without a response."""
        text = str(error) or type(error).__name__
        is_proxy = self._proxy is not None and isinstance(error, httpx.ConnectError)
        if "CERTIFICATE_VERIFY_FAILED" in text and not is_proxy:
            return Failure(
                f"The certificate of the server [{self._host}] cannot be trusted: {text}\n{_remedy(text)}", CONFIG
            )
        message, code = self._proxy_message(text) if is_proxy else self._message(error, text)
        return Unreachable(message, code, why=text)

    def _message(self, error: httpx.RequestError, text: str) -> tuple[str, int]:
        if isinstance(error, httpx.ProxyError):
            return self._proxy_message(text)
        if isinstance(error, httpx.ConnectTimeout):
            return (
                f"No connection to {self._where} within {self._config.timeout_s:g} seconds.\n{self._advice}",
                TEMPORARY,
            )
        if not isinstance(error, httpx.ConnectError):
            return f"The connection to {self._where} broke: {text}", TEMPORARY
        if "WRONG_VERSION_NUMBER" in text:
            return f"The server {with_port(self._config.url)} does not speak TLS.\n{self._advice}", CONFIG
        if any(part in text for part in _UNKNOWN_HOST):
            problem = f"Unable to find host [{self._host}]."
        else:
            reason = "" if "refused" in text else f" ({text})"
            problem = f"The connection was refused when attempting to contact the server [{self._host}]{reason}."
        check = "Check the client configuration to ensure the server hostname is correct."
        return f"{problem} {check}\n{self._advice}", CONFIG

    def _proxy_message(self, text: str) -> tuple[str, int]:
        proxy = "" if self._proxy is None else f" {self._proxy.shown}"
        return f"The proxy{proxy} cannot be used to reach {self._where}: {text}\n{self._proxy_advice}", CONFIG

    @property
    def _host(self) -> str:
        return httpx.URL(self._config.url).host

    @property
    def _where(self) -> str:
        return f"the server {with_port(self._config.url)}"

    @property
    def _advice(self) -> str:
        """Where the URL comes from, and what to do next."""
        is_here = urlsplit(self._config.url).hostname in (urlsplit(DEFAULT_URL).hostname, "localhost", "::1")
        start = "Start one on this machine: pulp-tasks up\n" if is_here else ""
        return (
            f"The URL is {with_port(self._config.url)}, from {self._config.url_source}.\n{start}"
            "Or name another server: pulp-admin --url URL, PULP_URL, or url in ~/.pulp/admin.toml"
        )

    @property
    def _proxy_advice(self) -> str:
        place = self._proxy.place if self._proxy else "HTTPS_PROXY or ALL_PROXY in the environment"
        host = urlsplit(self._config.url).hostname
        return f"It is named by {place}. To go without: NO_PROXY={host}"

    def _unusable(self, error: Exception) -> Failure:
        if self._proxy is None:
            return Failure(f"{self._config.url_source}: the URL {self._config.url} cannot be used: {error}", CONFIG)
        reason = str(error).replace(self._proxy.url, self._proxy.shown)
        named = f"{self._proxy.named_by}{': ' if self._proxy.is_of_file else '='}{self._proxy.shown}"
        return Failure(f"{named}: this proxy cannot be used: {reason}\n{self._proxy_advice}", CONFIG)


def _remedy(text: str) -> str:
    """What to do about a certificate, by OpenSSL's message: trusting other certificates does not fix every fault."""
    if "has expired" in text or "not yet valid" in text:
        return "Have the certificate renewed, or set the clock of this machine if that is wrong."
    if "ostname mismatch" in text or "IP address mismatch" in text:
        return "Name the server in the URL as its certificate does, or have a certificate made for this name."
    return "Name the certificates to trust with --ca-file, as ca_file in admin.toml, or as ca_path in admin.conf."


class Bearer(httpx.Auth):
    """A token in place of a user and a password."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


def _auth(config: Config) -> httpx.Auth | tuple[str, str] | None:
    if config.token is not None:
        return Bearer(config.token)
    return None if config.username is None else (config.username, config.password or "")


def _trust(config: Config, env: Mapping[str, str]) -> ssl.SSLContext | bool:
    """Return what certificates are verified with. Raises `Failure`, which names the setting."""
    if not config.url.startswith("https://") or not config.verify:
        return False  # loading the usual certificates is slow, and a server without TLS has no use for them
    if config.ca_file is not None:
        return _certificates(f"ca_file {config.ca_file}, from {config.ca_source}", config.ca_file)
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if env.get(variable):
            return _certificates(f"{variable} {env[variable]}", env[variable])
    return True


def _certificates(what: str, path: str) -> ssl.SSLContext:
    is_folder = os.path.isdir(path)
    try:
        if not is_folder:
            return ssl.create_default_context(cafile=path)
        return ssl.create_default_context(capath=path)
    except (OSError, ValueError) as error:
        reason = "it holds no certificate in PEM" if isinstance(error, ssl.SSLError) else why(error)
        raise Failure(f"{what}: the certificates cannot be read: {reason}", CONFIG) from error
