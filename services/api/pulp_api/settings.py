"""The API's settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final, Self

from pulp_accounts.passwords import USUAL, PasswordSettings
from pulp_accounts.quotas import SETTINGS as QUOTAS
from pulp_accounts.quotas import of_roles
from pulp_accounts.users import Role
from pulp_events import declared_settings
from pulp_events.declared_settings import Setting, Several, settings_of, words
from pulp_events.defaults import API_PORT
from pulp_runtime.installation import EVENT_ORIGIN, UNSERVED, UNSERVED_S, VISIBLE_TASKS, Installation

from pulp_api.front.addresses import Proxies
from pulp_api.front.forwarded import AUTO, WAYS
from pulp_api.front.limits import Limits
from pulp_api.front.tls import SETTINGS as TLS_SETTINGS
from pulp_api.front.tls import TlsFiles
from pulp_api.logins.authenticator import SESSION_S
from pulp_api.logins.oidc_settings import OidcSettings
from pulp_api.logins.remote_users import RemoteUserSettings

LISTED_S: Final = 604_800
"""Seven days, as Pulp 2.21."""
_NO_PROXIES: Final = Proxies()


def _proxies(name: str, text: str) -> Proxies:
    return Proxies.parse(words(text), name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(Installation):
    """The settings of an API process. Durations are in seconds."""

    host: Annotated[str, Setting("PULP_API_HOST", "The address that the API listens on.")] = "127.0.0.1"
    port: Annotated[int, Setting("PULP_API_PORT", "The port that the API listens on.", least=1, most=65_535)] = API_PORT
    connections: Annotated[int, Setting("PULP_API_CONNECTIONS", "The most connections to Postgres.", least=1)] = 8
    append_timeout_s: Annotated[
        float,
        Setting("PULP_APPEND_TIMEOUT_S", "How long Kafka may take to acknowledge an event.", least=0.1, most=86_400),
    ] = 10
    keep_alive_s: Annotated[
        int, Setting("PULP_API_KEEP_ALIVE_S", "How long an idle connection stays open.", least=1)
    ] = 75
    """Longer than a load balancer keeps a connection (mostly 60 s): else it sends a request into one that is just being
    closed, and answers 502."""
    limits: Annotated[Limits, Several(Limits.read, settings_of(Limits))] = field(default_factory=Limits)
    tls: Annotated[TlsFiles | None, Several(TlsFiles.read, TLS_SETTINGS)] = None
    hsts_s: Annotated[
        int, Setting("PULP_API_HSTS_S", "How long browsers are told to use only https; 0 tells them nothing.")
    ] = 31_536_000
    proxies: Annotated[
        Proxies,
        Setting(
            "PULP_API_TRUSTED_PROXIES",
            "The proxies whose `Forwarded` and `X-Forwarded-…` headers are trusted.",
            parse=_proxies,
            allowed="addresses and networks, separated by commas",
        ),
    ] = _NO_PROXIES
    forwarded: Annotated[str, Setting("PULP_API_FORWARDED", "Which headers the trusted proxies set.", choices=WAYS)] = (
        AUTO
    )
    has_access_log: Annotated[
        bool, Setting("PULP_API_ACCESS_LOG", "Whether to log each request.", choices=("off", "on"))
    ] = False
    max_argument_bytes: Annotated[
        int, Setting("PULP_API_MAX_ARGUMENT_BYTES", "The largest size of a task's arguments.", least=2)
    ] = 256 * 1024
    queues: Annotated[
        tuple[str, ...], Setting("PULP_QUEUES", "Queues that tasks may be submitted to before any worker serves them.")
    ] = ()
    quotas: Annotated[Mapping[Role, str], Several(of_roles, QUOTAS)] = field(default_factory=dict)
    """Quotas by role, if they differ from the defaults."""
    unserved_s: Annotated[float, UNSERVED] = UNSERVED_S
    listed_s: Annotated[
        int,
        Setting(
            "PULP_API_LISTED_S",
            "How long after its end a task stays in the v2 list of all tasks; searches find it for ever.",
            least=0,
            most=315_360_000,
        ),
    ] = LISTED_S
    is_scoped: Annotated[bool, VISIBLE_TASKS] = False
    event_origin: Annotated[str, EVENT_ORIGIN] = "client"
    session_s: Annotated[
        float, Setting("PULP_API_SESSION_S", "How long a browser session lasts.", least=60, most=31_622_400)
    ] = SESSION_S
    oidc: Annotated[OidcSettings, Several(OidcSettings.read, settings_of(OidcSettings))] = field(
        default_factory=OidcSettings
    )
    remote_user: Annotated[RemoteUserSettings, Several(RemoteUserSettings.read, settings_of(RemoteUserSettings))] = (
        field(default_factory=RemoteUserSettings)
    )
    passwords: Annotated[PasswordSettings, Several(PasswordSettings.read, settings_of(PasswordSettings))] = USUAL
    """The next login replaces a hash that was made at another cost."""

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(**declared_settings.read(cls, env))
