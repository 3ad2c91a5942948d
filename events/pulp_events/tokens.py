"""Tokens for logins to Kafka by OAUTHBEARER: one source for all clients of a process."""

import base64
import binascii
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from pulp_events.errors import SettingsError

_OPAQUE_LIFETIME_S: Final = 300.0
"""How long a token without an expiry time is used."""
_ENDPOINT_S: Final = 10.0
_LARGEST_ANSWER: Final = 256 * 1024
_REUSED_FOR: Final = 0.8
"""The fraction of a token's lifetime after which the endpoint is asked for a new one."""


class Token(NamedTuple):
    """A bearer token, and when it expires, in seconds since the epoch."""

    value: str
    expires_at_s: float

    def __repr__(self) -> str:
        return f"Token(expires_at_s={self.expires_at_s})"


class TokenSource(Protocol):
    """A source of tokens. It can be pickled, because a rebuild passes it to its processes."""

    def fetch(self) -> Token:
        """A valid token. May block for some seconds. Raises `SettingsError`, whose message holds no secret."""
        ...


@dataclass(frozen=True, slots=True)
class CallbackTokens:
    """A function without arguments, named MODULE:FUNCTION. It returns a token, or a token and when it expires."""

    name: str

    def check(self) -> None:
        """Raises `SettingsError` if the function does not exist."""
        self._function()

    def fetch(self) -> Token:
        """See `TokenSource.fetch`."""
        try:
            found = self._function()()
        except SettingsError:
            raise
        except Exception as error:  # its message may hold secrets, so only its type is reported
            raise SettingsError(
                f"PULP_KAFKA_OAUTH_CALLBACK={self.name} returned no token: it raised {type(error).__name__}"
            ) from error
        match found:
            case str():
                return token_of(found, "PULP_KAFKA_OAUTH_CALLBACK")
            case (str() as value, float() | int() as expires_at_s):
                return Token(value, float(expires_at_s))
        raise SettingsError(
            f"PULP_KAFKA_OAUTH_CALLBACK={self.name} returned {type(found).__name__}: it must return a token, or a"
            " tuple of a token and when it expires in seconds since the epoch"
        )

    def _function(self) -> Callable[[], Any]:
        module, _, function = self.name.partition(":")
        try:
            found = getattr(import_module(module), function)
        except (ImportError, AttributeError, ValueError) as error:
            raise SettingsError(
                f"PULP_KAFKA_OAUTH_CALLBACK={self.name} cannot be imported: {error}. MODULE:FUNCTION is expected"
            ) from error
        if not callable(found):
            raise SettingsError(f"PULP_KAFKA_OAUTH_CALLBACK={self.name} is not a function")
        return found  # type: ignore[no-any-return]  # what it returns is checked when it is called


@dataclass(frozen=True, slots=True)
class FileTokens:
    """A file that another program renews, such as a Kubernetes service account token. It is read each time."""

    path: Path

    def check(self) -> None:
        """Raises `SettingsError` if the file holds no token."""
        self.fetch()

    def fetch(self) -> Token:
        """See `TokenSource.fetch`."""
        return token_of(read_secret("PULP_KAFKA_OAUTH_TOKEN_FILE", self.path), "PULP_KAFKA_OAUTH_TOKEN_FILE")


@dataclass(frozen=True, slots=True)
class EndpointTokens:
    """Client credentials (RFC 6749, 4.4) at a token endpoint. A token is reused for most of its lifetime."""

    url: str
    client_id: str
    client_secret: "Secret"
    scope: str | None = None

    def check(self) -> None:
        """Raises `SettingsError` for a secret that cannot be read. It does not call the endpoint."""
        self.client_secret.read()

    def fetch(self) -> Token:
        """See `TokenSource.fetch`."""
        with _reusing:
            until_s, token = _reusable.get(self, (0.0, Token("", 0.0)))
            if time.time() < until_s:
                return token
            token = self._ask()
            _reusable[self] = time.time() + (token.expires_at_s - time.time()) * _REUSED_FOR, token
            return token

    def _ask(self) -> Token:
        login = ":".join(map(urllib.parse.quote_plus, (self.client_id, self.client_secret.read())))
        form = {"grant_type": "client_credentials", **({} if self.scope is None else {"scope": self.scope})}
        request = urllib.request.Request(
            self.url,
            urllib.parse.urlencode(form).encode(),
            {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}", "Accept": "application/json"},
        )
        asked_at_s = time.time()
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=_ENDPOINT_S) as answer:
                found = json.loads(answer.read(_LARGEST_ANSWER))
            value, lifetime_s = found["access_token"], found.get("expires_in")
            if not isinstance(value, str) or not isinstance(lifetime_s, int | float | None):
                raise TypeError("access_token")
        except urllib.error.HTTPError as error:
            error.close()
            raise SettingsError(f"PULP_KAFKA_OAUTH_TOKEN_URL={self.url} answered {error.code}: no token") from None
        except OSError as error:
            raise SettingsError(f"PULP_KAFKA_OAUTH_TOKEN_URL={self.url} does not answer: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError):
            raise SettingsError(
                f"PULP_KAFKA_OAUTH_TOKEN_URL={self.url} did not answer with an access_token in JSON"
            ) from None
        if lifetime_s is None:
            return token_of(value, "PULP_KAFKA_OAUTH_TOKEN_URL")
        return Token(value, asked_at_s + lifetime_s)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret in a setting, or in a file that a setting names. Its `repr` does not show it."""

    key: str
    """The setting, for errors."""
    value: str | None = field(default=None, repr=False)
    path: Path | None = None

    def read(self) -> str:
        """The secret as it is now; a file is read each time, so that later clients use a changed secret.

        Raises `SettingsError` for a file that cannot be read or is empty.
        """
        if self.value is not None:
            return self.value
        assert self.path is not None
        return read_secret(self.key, self.path)


def read_secret(key: str, path: Path) -> str:
    """The content of a file without the line break at its end; raises `SettingsError`."""
    try:
        text = path.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise SettingsError(f"{key}={path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{key}={path} cannot be read: it is not in UTF-8") from None
    if not text:
        raise SettingsError(f"{key}={path} is empty: a secret is expected")
    return text


def token_of(value: str, key: str) -> Token:
    """The token; it expires when a JWT says, any other in some minutes. Raises `SettingsError` if it has expired."""
    value = value.strip()
    expires_at_s = _expiry(value) or time.time() + _OPAQUE_LIFETIME_S
    if expires_at_s <= time.time():
        raise SettingsError(f"{key}: the token has expired: renew it")
    return Token(value, expires_at_s)


def _expiry(token: str) -> float | None:
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError, binascii.Error):
        return None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, so that the client's secret reaches only the configured address."""

    def redirect_request(self, *_: Any) -> None:
        return None


_reusing: Final = threading.Lock()
_reusable: Final[dict[EndpointTokens, tuple[float, Token]]] = {}
