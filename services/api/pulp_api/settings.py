"""The API's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Self

from pulp_accounts.passwords import USUAL, PasswordSettings
from pulp_accounts.quotas import of_roles
from pulp_accounts.users import Role
from pulp_events import declared_settings
from pulp_events import settings as read
from pulp_events.declared_settings import Setting
from pulp_events.defaults import API_PORT

from pulp_api.front.addresses import Proxies
from pulp_api.front.forwarded import AUTO, WAYS
from pulp_api.front.limits import Limits
from pulp_api.front.tls import TlsFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(read.Installation):
    """What an API process needs to know. Durations are in seconds."""

    host: Annotated[str, Setting("PULP_API_HOST", "The address that the API listens on.")] = "127.0.0.1"
    port: Annotated[int, Setting("PULP_API_PORT", "The port that the API listens on.", least=1)] = API_PORT
    connections: Annotated[int, Setting("PULP_API_CONNECTIONS", "The most connections to Postgres.", least=1)] = 8
    append_timeout_s: Annotated[
        float, Setting("PULP_APPEND_TIMEOUT_S", "How long Kafka may take to acknowledge an event.", least=0.1)
    ] = 10
    keep_alive_s: Annotated[
        int, Setting("PULP_API_KEEP_ALIVE_S", "How long an idle connection stays open.", least=1)
    ] = 75
    """Longer than a load balancer keeps a connection (mostly 60 s): else it sends a request into one that is just being
    closed, and answers 502."""
    limits: Limits = field(default_factory=Limits)
    tls: TlsFiles | None = None
    hsts_s: Annotated[
        int, Setting("PULP_API_HSTS_S", "How long browsers are told to use https alone; 0 tells them nothing.")
    ] = 31_536_000
    proxies: Proxies = field(default_factory=Proxies)
    """Whose `Forwarded` and `X-Forwarded-…` count."""
    forwarded: Annotated[
        str, Setting("PULP_API_FORWARDED", "Which of these headers the proxies set.", choices=WAYS)
    ] = AUTO
    has_access_log: Annotated[
        bool, Setting("PULP_API_ACCESS_LOG", "Whether each request is logged.", choices=("off", "on"))
    ] = False
    max_argument_bytes: Annotated[
        int, Setting("PULP_API_MAX_ARGUMENT_BYTES", "The most bytes of the arguments of one task.", least=2)
    ] = 256 * 1024
    queues: Annotated[
        tuple[str, ...], Setting("PULP_QUEUES", "Queues that tasks may be submitted to before any worker serves them.")
    ] = ()
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
            **declared_settings.read(cls, env),
            quotas=of_roles(env),
            unserved_s=read.unserved(env),
            passwords=PasswordSettings.read(env),
            limits=Limits.read(env),
            tls=TlsFiles.read(env),
            proxies=Proxies.parse(read.words(env, "PULP_API_TRUSTED_PROXIES", ()), "PULP_API_TRUSTED_PROXIES"),
        )
