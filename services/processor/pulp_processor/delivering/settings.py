"""The settings of webhooks, PULP_WEBHOOK_*: where events may be delivered, how fast, and how often."""

from collections.abc import Mapping
from typing import Annotated, Self

from msgspec import Struct
from pulp_events import declared_settings
from pulp_events.declared_settings import Setting
from pulp_runtime.outgoing.rules import USUAL_PORTS, Destinations, list_setting, ports_setting

from pulp_processor.delivering.outbox import Policy


class WebhookRules(Destinations, frozen=True, kw_only=True):
    """The rules of `Destinations`, as the settings of webhooks have them."""

    allow: Annotated[tuple[str, ...], list_setting("PULP_WEBHOOK_ALLOW", "Where events may be delivered to.")] = (
        "public",
    )
    deny: Annotated[
        tuple[str, ...],
        list_setting("PULP_WEBHOOK_DENY", "Where events may not be delivered to, even if allowed above."),
    ] = ()
    ports: Annotated[
        tuple[tuple[int, int], ...],
        ports_setting("PULP_WEBHOOK_PORTS", "The ports that events may be delivered to."),
    ] = USUAL_PORTS


class WebhookSettings(Struct, frozen=True, kw_only=True):
    """Where to, how fast, and how often. Durations are in seconds."""

    rules: WebhookRules = WebhookRules()
    attempts: Annotated[
        int,
        Setting(
            "PULP_WEBHOOK_ATTEMPTS",
            "The number of consecutive failures after which an endpoint is given up, or a task that fails while "
            "others succeed.",
            least=1,
            most=1000,
        ),
    ] = 20
    first_pause_s: Annotated[
        float,
        Setting(
            "PULP_WEBHOOK_BACKOFF_S", "The pause after the first failure; it doubles with each further one.", least=0.01
        ),
    ] = 1
    longest_pause_s: Annotated[
        float, Setting("PULP_WEBHOOK_MAX_BACKOFF_S", "The longest pause between two attempts.", least=0.01)
    ] = 3600
    lanes: Annotated[
        int,
        Setting("PULP_WEBHOOK_REQUESTS", "The number of concurrent requests to one endpoint.", least=1, most=100),
    ] = 8
    connect_s: Annotated[
        float,
        Setting(
            "PULP_WEBHOOK_CONNECT_S",
            "How long name resolution, the connection and TLS may each take.",
            least=0.1,
        ),
    ] = 10
    total_s: Annotated[
        float, Setting("PULP_WEBHOOK_TOTAL_S", "How long one delivery may take, including the answer.", least=0.1)
    ] = 30

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the setting."""
        rules = WebhookRules(**declared_settings.read(WebhookRules, env))
        return cls(rules=rules, **declared_settings.read(cls, env))

    @property
    def policy(self) -> Policy:
        """How often and how fast."""
        return Policy(
            attempts=self.attempts,
            first_pause_s=self.first_pause_s,
            longest_pause_s=self.longest_pause_s,
            lanes=self.lanes,
        )
