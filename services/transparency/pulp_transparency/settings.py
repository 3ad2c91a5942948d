"""The settings of tamper evidence."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Self

from pulp_events import declared_settings, security
from pulp_events.declared_settings import Setting, Several, settings_of, wrong
from pulp_events.defaults import STARTUP_TIMEOUT_S
from pulp_events.kafka import Servers
from pulp_events.settings import KAFKA, TOPIC_PREFIX, kafka, topic_prefix
from pulp_events.topics import Topics
from pulp_runtime.installation import Installation
from pulp_runtime.telemetry.settings import TelemetrySettings

_INHERITED: Final = {
    name: declared_settings.setting_of(Installation, name) for name in ("startup_timeout_s", "heartbeat")
}


def _witnesses(name: str, text: str) -> tuple[tuple[str, ...], ...]:
    words = shlex.shlex(text, posix=True, punctuation_chars=";")
    words.whitespace_split = True
    words.commenters = ""
    found: list[list[str]] = [[]]
    try:
        for word in words:
            if word.strip(";"):
                found[-1].append(word)
            else:
                found.append([])
    except ValueError as error:
        # The value is not repeated: a command may have a token among its arguments.
        raise wrong(name, None, f"commands are expected, with quotes in pairs ({error})") from error
    return tuple(tuple(each) for each in found if each)


def _topics(env: Mapping[str, str]) -> Topics:
    return Topics.named(topic_prefix(env))


FOLDER: Final = Setting(
    "PULP_TRANSPARENCY_FOLDER",
    "The folder of the tiles and of each partition's last checkpoint; one process writes it.",
    kind=Path,
)
KEY: Final = Setting(
    "PULP_TRANSPARENCY_KEY",
    "The file with the key that signs checkpoints, as `pulp-tasks audit keygen` creates it; mode 0600.",
    kind=Path,
)
NAME: Final = Setting(
    "PULP_TRANSPARENCY_NAME",
    "The name of the log, such as HOST/pulp.tasks.events. If set, the process creates its key at its first start.",
)
KEYS: Final = Setting(
    "PULP_TRANSPARENCY_KEYS",
    "The file of the verifier keys, with their spans.",
    kind=Path,
    default_text="that of the signing key, and `.keys`",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of the process. It uses only Kafka, so a change in Postgres cannot affect it."""

    kafka: Annotated[Servers, Several(kafka, (KAFKA, *security.SETTINGS))]
    topics: Annotated[Topics, Several(_topics, (TOPIC_PREFIX,))]
    folder: Annotated[Path | None, FOLDER] = None
    key: Annotated[Path | None, KEY] = None
    keys: Annotated[Path | None, KEYS] = None
    name: Annotated[str | None, NAME] = None
    interval_s: Annotated[
        float,
        Setting(
            "PULP_TRANSPARENCY_INTERVAL_S", "How often a log that has grown gets a checkpoint.", least=0.1, most=86_400
        ),
    ] = 10
    outside: Annotated[
        Path | None,
        Setting(
            "PULP_TRANSPARENCY_OUTSIDE",
            "A folder outside the installation, such as on another machine, that gets each checkpoint as a file.",
        ),
    ] = None
    witnesses: Annotated[
        tuple[tuple[str, ...], ...],
        Setting(
            "PULP_TRANSPARENCY_WITNESSES",
            "Commands that get each checkpoint on standard input, separated by `;`; a failed one is run again.",
            parse=_witnesses,
            allowed="commands with their arguments, in the quotes of a shell",
        ),
    ] = ()
    witness_timeout_s: Annotated[
        float,
        Setting("PULP_TRANSPARENCY_WITNESS_TIMEOUT_S", "How long a witness's command may take.", least=1, most=3600),
    ] = 30
    telemetry: Annotated[TelemetrySettings, Several(TelemetrySettings.read, settings_of(TelemetrySettings))] = field(
        default_factory=TelemetrySettings
    )
    startup_timeout_s: Annotated[float, _INHERITED["startup_timeout_s"]] = STARTUP_TIMEOUT_S
    heartbeat: Annotated[Path | None, _INHERITED["heartbeat"]] = field(default=None)

    @classmethod
    def read(cls, env: Mapping[str, str]) -> Self:
        """Raises `SettingsError`, which names the key."""
        return cls(**declared_settings.read(cls, env))

    @property
    def needed_folder(self) -> Path:
        """The folder of the tiles. Raises `SettingsError` if it is not set."""
        return self.folder if self.folder is not None else _unset(FOLDER)

    @property
    def needed_key(self) -> Path:
        """The file of the signing key. Raises `SettingsError` if it is not set."""
        return self.key if self.key is not None else _unset(KEY)

    @property
    def needed_keys(self) -> Path:
        """The file of the verifier keys. Raises `SettingsError` if neither it nor that of the signing key is set."""
        return self.keys if self.keys is not None else ring_beside(self.needed_key)


def ring_beside(key: Path) -> Path:
    """Where the verifier keys are, unless a setting says otherwise."""
    return key.with_name(key.name + ".keys")


def _unset(setting: Setting) -> Path:
    raise wrong(setting.name, None, f"it is not set, and names {setting.sentence[0].lower()}{setting.sentence[1:]}")
