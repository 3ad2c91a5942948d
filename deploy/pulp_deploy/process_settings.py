"""The settings that each process reads, in sections: for its help, and for docs/reference/settings.md.

A section imports the packages of its process when it is asked for: the other packages need not be installed.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from pulp_events.declared_settings import Setting, Source, setting_of, settings_of


class Section(NamedTuple):
    """Settings under one heading."""

    title: str
    settings: tuple[Setting, ...]


Sections: TypeAlias = Callable[[], Iterator[Section]]


def every_process() -> Section:
    """What each process of an installation reads."""
    from pulp_projections.connection import DECLARED
    from pulp_runtime.installation import Installation

    from pulp_deploy.log_lines import SETTINGS

    return Section("Every process", settings_of(Installation, DECLARED, SETTINGS))


def agreed() -> Section:
    """What the API and the processors have to agree on."""
    from pulp_accounts.quotas import SETTINGS
    from pulp_runtime.installation import UNSERVED, VISIBLE_TASKS

    return Section("The API and the processors", settings_of(UNSERVED, VISIBLE_TASKS, SETTINGS))


def passwords() -> Section:
    """What the API reads, and the commands that set a password."""
    from pulp_accounts.passwords import PasswordSettings

    return Section("Passwords", settings_of(PasswordSettings))


def local_stack() -> Section:
    """What the commands of a local stack read."""
    from pulp_events.local_stack import DATA

    return Section("The local stack", settings_of(DATA))


def internal() -> Section:
    """What one process sets for another one."""
    from pulp_worker.environment import SETTINGS

    from pulp_deploy.local.surroundings import READY_FD

    return Section("Set by Pulp Tasks itself", settings_of(SETTINGS, READY_FD))


def api() -> Iterator[Section]:
    """What the API reads."""
    from pulp_api.settings import Settings

    yield from _sections("The API", (Settings,), passwords(), agreed(), every_process())


def processor() -> Iterator[Section]:
    """What a processor reads."""
    from pulp_processor.delivering.settings import WebhookRules, WebhookSettings
    from pulp_processor.settings import Settings

    webhooks = Section("Webhooks", settings_of(WebhookRules, WebhookSettings))
    yield from _sections("The processor", (Settings,), webhooks, agreed(), every_process())


def worker() -> Iterator[Section]:
    """What a worker reads, and the operations that it brings."""
    from pulp_operations.settings import Settings as YumSettings
    from pulp_worker.fetching.rules import Rules
    from pulp_worker.fetching.settings import FetchSettings
    from pulp_worker.isolation import IsolationSettings
    from pulp_worker.settings import Settings

    of_operations = (
        Section("Fetching by operations", settings_of(Rules, FetchSettings)),
        Section("Isolated calls of operations", settings_of(IsolationSettings)),
        Section("The yum operations", settings_of(YumSettings)),
    )
    yield from _sections("The worker", (Settings,), *of_operations, every_process())


def transparency() -> Iterator[Section]:
    """What the process that keeps the log reads."""
    from pulp_transparency.settings import Settings

    others = (kafka_client(),)
    yield from _sections("Tamper evidence", (Settings,), *others)


def kafka_client() -> Section:
    """What a process that uses Kafka alone reads."""
    from pulp_events import security
    from pulp_events.settings import KAFKA, TOPIC_PREFIX
    from pulp_runtime.installation import Installation
    from pulp_runtime.telemetry.settings import MetricsSettings

    from pulp_deploy.log_lines import SETTINGS

    shared = (setting_of(Installation, name) for name in ("startup_timeout_s", "heartbeat"))
    return Section("Kafka", settings_of(KAFKA, security.SETTINGS, TOPIC_PREFIX, *shared, MetricsSettings, SETTINGS))


def evidence() -> Iterator[Section]:
    """What the commands that check the log read."""
    from pulp_transparency.settings import FOLDER, KEY, KEYS

    yield Section("Settings", settings_of(FOLDER, KEY, KEYS))


def archive() -> Iterator[Section]:
    """What the commands that write and read the archive read."""
    from pulp_archive.settings import ARCHIVE

    yield Section("Settings", settings_of(ARCHIVE))


def waiting() -> Iterator[Section]:
    """The settings of a command that waits for Kafka or Postgres, besides where they are."""
    from pulp_runtime.installation import Installation

    yield Section("Settings", settings_of(setting_of(Installation, "startup_timeout_s")))


def new_passwords() -> Iterator[Section]:
    """What a command that takes a new password reads."""
    yield passwords()


def personal_keys() -> Iterator[Section]:
    """What a command that wraps the keys of personal data reads."""
    from pulp_runtime.installation import PERSONAL_KEY_FILE

    yield Section("Settings", settings_of(PERSONAL_KEY_FILE))


def quotas() -> Iterator[Section]:
    """What a command that reports the quotas of roles reads."""
    from pulp_accounts.quotas import SETTINGS

    yield Section("Settings", SETTINGS)


def draining() -> Iterator[Section]:
    """What decides how long a worker's orderly shutdown takes."""
    from pulp_worker.settings import Settings

    yield Section("Settings of the worker", settings_of(setting_of(Settings, "drain_s")))


def up() -> Iterator[Section]:
    """The settings that a local stack reads before it starts anything, besides which Kafka and Postgres to use instead
    of its own."""
    yield local_stack()
    yield from waiting()


def everything() -> tuple[Section, ...]:
    """All settings of the server, each in one section."""
    evidence_alone = next(transparency())
    sections = (every_process(), *api(), *processor(), *worker(), evidence_alone, local_stack(), internal())
    return tuple({section.title: section for section in sections}.values())


def _sections(title: str, own: tuple[Source, ...], *others: Section) -> Iterator[Section]:
    """A process's own settings, without those that are in the other sections; then the others."""
    elsewhere = {setting.name for section in others for setting in section.settings}
    yield Section(title, tuple(each for each in settings_of(*own) if each.name not in elsewhere))
    yield from others
