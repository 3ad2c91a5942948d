"""docs/reference/settings.md: each setting, from its declaration; and the list of their names."""

from collections.abc import Iterator
from typing import Final

from pulp_admin.settings import SETTINGS as CLIENT
from pulp_admin.settings import ClientSetting
from pulp_events.declared_settings import MOST, MOST_BYTES, MOST_S, REQUIRED

from pulp_deploy.process_settings import Section, everything
from pulp_deploy.reference.markdown import code, table
from pulp_deploy.settings_text import allowed_text, default_text

_HEAD: Final = f"""# Settings

Environment variables, by the process that reads them. This page is made from the code:
`python -m pulp_deploy.reference --write`.

A process that cannot use a value ends with exit code 78, and names the setting, the value and what is allowed. The
value of a secret is never shown. A name that begins with `PULP_` and is not a setting is logged as a warning, with the
setting that was probably meant. Where no upper bound is given, it is {MOST_S} (ten years) for seconds, {MOST_BYTES} for
bytes, and {MOST} for other numbers.

More on how to connect to Kafka is in [kafka.md](../operate/kafka.md), on Postgres in
[database.md](../operate/database.md), on the API in [api.md](../operate/api.md), on fetching and isolation in
[fetching.md](../operate/fetching.md), and on yum repositories in [repositories.md](../operate/repositories.md).
"""
_CLIENT_HEAD: Final = """
## The client, `pulp-admin`

An option overrides the environment, which overrides the configuration file.
"""
_COLUMNS: Final = ("setting", "default", "unit", "allowed", "meaning")
_CLIENT_COLUMNS: Final = ("key in the file", "environment", "option", *_COLUMNS[1:])


def text() -> str:
    """The page."""
    sections = (f"\n## {section.title}\n{table(_COLUMNS, _rows(section))}" for section in everything())
    return "".join([_HEAD, *sections, _CLIENT_HEAD, table(_CLIENT_COLUMNS, map(_client_row, CLIENT))])


def names() -> str:
    """All names that begin with PULP_, one a line."""
    found = {setting.name for section in everything() for setting in section.settings}
    found |= {setting.variable for setting in CLIENT if setting.variable}
    return "".join(f"{name}\n" for name in sorted(found))


def _rows(section: Section) -> Iterator[tuple[str, ...]]:
    for each in section.settings:
        default = "none: it has to be set" if each.default is REQUIRED else default_text(each)
        meaning = f"{each.sentence} It is a secret." if each.is_secret else each.sentence
        yield code(each.name), default, each.unit, allowed_text(each), meaning


def _client_row(each: ClientSetting) -> tuple[str, ...]:
    default = "" if each.default is None else f"{each.default:g}" if each.kind is float else str(each.default)
    meaning = f"{each.sentence} It is a secret." if each.is_secret else each.sentence
    names = (code(each.key), code(each.variable), code(each.flag))
    return *names, default.lower() if each.kind is bool else default, each.unit, each.allowed, meaning
