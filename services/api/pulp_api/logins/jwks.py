"""The public keys of an OpenID Connect issuer: fetched when needed, and again when they change."""

import asyncio
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

import jwt
import msgspec

from pulp_api.logins.basic import IssuerAway

_FRESH_S: Final = 300.0
"""How long keys are used before they are fetched again, and so how long a withdrawn key is accepted."""
_STALE_S: Final = 86_400.0
"""How long they count while the issuer does not answer."""
_AGAIN_S: Final = 10.0
"""The least time between two attempts, so that tokens with invented keys cannot flood the issuer."""
_TIMEOUT_S: Final = 5.0
_MOST_BYTES: Final = 1_000_000
_MOST_KEYS: Final = 100
_log = logging.getLogger("pulp.api")


class IssuerKeys:
    """The keys of one issuer."""

    def __init__(
        self,
        issuer: str,
        url: str | None,
        *,
        ca_file: Path | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises `OSError`, `ssl.SSLError` for unusable certificates."""
        self._issuer, self._url, self._clock_s = issuer, url, clock_s
        context = ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
        self._opener = build_opener(HTTPSHandler(context=context), _NoRedirect)
        self._keys: list[jwt.PyJWK] = []
        self._fetched_s = self._tried_s = float("-inf")
        self._lock = asyncio.Lock()

    async def keys(self, key_id: str | None) -> list[jwt.PyJWK]:
        """The keys with this id, or all without an id. Raises `IssuerAway` if none could be fetched yet."""
        now_s = self._clock_s()
        if now_s - self._fetched_s >= _FRESH_S or not self._with(key_id):
            async with self._lock:
                await self._refresh(key_id)
        if self._clock_s() - self._fetched_s >= _STALE_S:
            raise IssuerAway("the issuer of the token does not answer: try again later")
        return self._with(key_id)

    def _with(self, key_id: str | None) -> list[jwt.PyJWK]:
        return [key for key in self._keys if key_id in (None, key.key_id)]

    async def _refresh(self, key_id: str | None) -> None:
        now_s = self._clock_s()
        is_fresh = now_s - self._fetched_s < _FRESH_S and self._with(key_id)
        if is_fresh or now_s - self._tried_s < _AGAIN_S:
            return
        self._tried_s = now_s
        try:
            self._keys = await asyncio.to_thread(self._fetch)
        except (OSError, ValueError, msgspec.MsgspecError, jwt.PyJWTError) as error:
            _log.warning("the keys of the issuer cannot be fetched", extra={"issuer": self._issuer, "error": error})
            return
        self._fetched_s = now_s

    def _fetch(self) -> list[jwt.PyJWK]:
        url = self._url
        if url is None:
            found = self._get(f"{self._issuer.rstrip('/')}/.well-known/openid-configuration")
            url = found.get("jwks_uri")
            if found.get("issuer") != self._issuer or not isinstance(url, str):
                raise ValueError("its configuration names another issuer, or no keys")
            scheme = self._issuer.partition("//")[0]
            if not url.startswith((f"{scheme}//", "https://")):
                raise ValueError("its configuration names keys that are not behind TLS")
        keys = jwt.PyJWKSet.from_dict(dict(self._get(url))).keys
        return [key for key in keys[:_MOST_KEYS] if key.public_key_use in (None, "sig")]

    def _get(self, url: str) -> Mapping[str, Any]:
        with self._opener.open(url, timeout=_TIMEOUT_S) as response:
            body = response.read(_MOST_BYTES + 1)
        if len(body) > _MOST_BYTES:
            raise ValueError(f"the answer of {url} has more than {_MOST_BYTES} bytes")
        return msgspec.json.decode(body, type=dict[str, Any])


class _NoRedirect(HTTPRedirectHandler):
    """Keys come from the URL in the settings."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None
