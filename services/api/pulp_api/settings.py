"""The API's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from pulp_accounts.passwords import USUAL, PasswordSettings
from pulp_accounts.quotas import of_roles
from pulp_accounts.users import Role
from pulp_events import settings as read

from pulp_api.front.addresses import Proxies
from pulp_api.front.forwarded import WAYS
from pulp_api.front.limits import Limits
from pulp_api.front.tls import TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(read.Installation):
    """What an API process needs to know. Durations are in seconds."""

    host: str = "127.0.0.1"
    port: int = 24817
    connections: int = 8
    """To Postgres, at most."""
    append_timeout_s: float = 10
    keep_alive_s: int = 75
    """An idle connection stays open for so long: longer than a load balancer keeps it (60 s, mostly), or the balancer
    sends a request into a connection that is just being closed, and answers 502."""
    limits: Limits = field(default_factory=Limits)
    tls: TlsFiles | None = None
    hsts_s: int = 31_536_000
    """For so long browsers are told to come by https alone; 0 tells them nothing."""
    proxies: Proxies = field(default_factory=Proxies)
    """Whose `Forwarded` and `X-Forwarded-…` count."""
    forwarded: str = "auto"
    """Which of these two the proxies set."""
    has_access_log: bool = False
    max_argument_bytes: int = 256 * 1024
    """What the arguments of one task may have."""
    queues: tuple[str, ...] = ()
    """Queues that tasks may be submitted to before any worker serves them."""
    quotas: Mapping[Role, str] = field(default_factory=dict)
    """What users may use, by role, where it differs from the defaults."""
    unserved_s: float = read.UNSERVED_S
    """As the workers have it."""
    passwords: PasswordSettings = USUAL
    """Hashes that were made at another cost are made anew at the next login."""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(
            **read.installation(env),
            host=read.text(env, "PULP_API_HOST", "127.0.0.1"),
            port=read.integer(env, "PULP_API_PORT", 24817, least=1),
            connections=read.integer(env, "PULP_API_CONNECTIONS", 8, least=1),
            append_timeout_s=read.number(env, "PULP_APPEND_TIMEOUT_S", 10, least=0.1),
            max_argument_bytes=read.integer(env, "PULP_API_MAX_ARGUMENT_BYTES", 256 * 1024, least=2),
            queues=read.words(env, "PULP_QUEUES", ()),
            quotas=of_roles(env),
            unserved_s=read.unserved(env),
            passwords=PasswordSettings.read(env),
            keep_alive_s=read.integer(env, "PULP_API_KEEP_ALIVE_S", 75, least=1),
            limits=Limits.read(env),
            tls=TlsFiles.read(env),
            hsts_s=read.integer(env, "PULP_API_HSTS_S", 31_536_000),
            proxies=Proxies.parse(read.words(env, "PULP_API_TRUSTED_PROXIES", ()), "PULP_API_TRUSTED_PROXIES"),
            forwarded=_choice(env, "PULP_API_FORWARDED", WAYS),
            has_access_log=_choice(env, "PULP_API_ACCESS_LOG", ("off", "on")) == "on",
        )


def _choice(env: Mapping[str, str], key: str, choices: tuple[str, ...]) -> str:
    """One of the words, the first by default; raises `SettingsError`."""
    value = read.text(env, key, choices[0]).lower()
    if value not in choices:
        raise read.SettingsError(f"{key}={value}: one of {', '.join(choices)} is expected")
    return value
