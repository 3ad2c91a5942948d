"""A setting is declared once: it is read, bounded and described from there."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import pytest
from msgspec import Struct
from pulp_api.settings import Settings as ApiSettings
from pulp_deploy.process_settings import everything
from pulp_events.declared_settings import REQUIRED, Setting, Several, read, settings_of
from pulp_events.settings import SettingsError
from pulp_processor.settings import Settings as ProcessorSettings
from pulp_worker.settings import Settings as WorkerSettings

DECLARED = [setting for section in everything() for setting in section.settings]
NUMBERS = [setting for setting in DECLARED if setting.is_number]
PROCESSES = (ApiSettings, ProcessorSettings, WorkerSettings)
ENV = {"PULP_KAFKA": "a:1", "PULP_POSTGRES": "host=a password=secret-word", "PULP_STORAGE": "/s"}

BAKER = Setting("OVEN_BAKER", "Who bakes.", default=REQUIRED)
HELPER = Setting("OVEN_HELPER", "Who helps.", default="")


def read_team(env: Any) -> str:
    return f"{BAKER.read(env)}{HELPER.read(env)}"


@dataclass(frozen=True, kw_only=True)
class Oven:
    hot: Annotated[bool, Setting("OVEN_HOT", "Whether it is hot.", choices=("no", "yes"))] = False
    trays: Annotated[int, Setting("OVEN_TRAYS", "How many trays it has.", least=1, most=4)] = 2
    bake_s: Annotated[float, Setting("OVEN_BAKE_S", "How long it bakes.")] = 1.5
    breads: Annotated[tuple[str, ...], Setting("OVEN_BREADS", "What it bakes.")] = ("rye",)
    flour_bytes: Annotated[int, Setting("OVEN_FLOUR_BYTES", "How much flour it takes.", least=1)] = 8
    code: Annotated[str | None, Setting("OVEN_CODE", "What opens it.", choices=("a", "b"), is_secret=True)] = None
    team: Annotated[str, Several(read_team, (BAKER, HELPER))] = "jo"
    place: str = "kitchen"


class Mixer(Struct, frozen=True):
    turns: Annotated[int, Setting("MIXER_TURNS", "How often it turns.")] = 3


def test_without_an_environment_the_defaults_count() -> None:
    assert Oven(**read(Oven, {"OVEN_BAKER": "jo"})) == Oven()
    assert Mixer(**read(Mixer, {})) == Mixer(3)


def test_what_is_set_counts() -> None:
    env = {
        "OVEN_HOT": " Yes",
        "OVEN_TRAYS": "4",
        "OVEN_BAKE_S": "2",
        "OVEN_BREADS": "rye, oat,",
        "OVEN_BAKER": " al ",
        "OVEN_HELPER": "ex",
    }
    assert Oven(**read(Oven, env)) == Oven(hot=True, trays=4, bake_s=2.0, breads=("rye", "oat"), team="alex")
    assert Mixer(**read(Mixer, {"MIXER_TURNS": "7"})) == Mixer(7)


@pytest.mark.parametrize("empty", ["", " ", ",", " , ,"])
def test_an_empty_text_and_an_empty_list_count_as_not_set(empty: str) -> None:
    assert Oven(**read(Oven, {"OVEN_BREADS": empty, "OVEN_TRAYS": empty, "OVEN_BAKER": "jo"})) == Oven()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("OVEN_HOT", "warm", "OVEN_HOT='warm': one of no, yes is expected"),
        ("OVEN_TRAYS", "0", "OVEN_TRAYS=0: a whole number from 1 to 4 is expected"),
        ("OVEN_TRAYS", "5", "OVEN_TRAYS=5: a whole number from 1 to 4 is expected"),
        ("OVEN_TRAYS", "1.5", "OVEN_TRAYS=1.5: a whole number from 1 to 4 is expected"),
        ("OVEN_BAKE_S", "-1", "OVEN_BAKE_S=-1: a number of at least 0 is expected"),
        ("OVEN_BAKE_S", "long", "OVEN_BAKE_S=long: a number of at least 0 is expected"),
        ("OVEN_BAKE_S", "1e9", "OVEN_BAKE_S=1e9: a number from 0 to 315360000 is expected"),
        ("OVEN_FLOUR_BYTES", "0", "OVEN_FLOUR_BYTES=0: a whole number of at least 1 is expected"),
        ("OVEN_BAKER", " ", "OVEN_BAKER is not set: it is needed"),
        ("OVEN_CODE", "c", "OVEN_CODE: one of a, b is expected"),
    ],
)
def test_a_wrong_value_is_named_with_its_setting_and_what_is_allowed(key: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(Oven, {"OVEN_BAKER": "jo", key: value})
    assert str(raised.value) == said


def test_a_whole_number_is_read_to_its_last_digit() -> None:
    assert read(Oven, {"OVEN_BAKER": "jo", "OVEN_FLOUR_BYTES": "9007199254740993"})["flour_bytes"] == 2**53 + 1


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(SettingsError, match=r"^OVEN_TRAYS=9{100}\.\.\.: ") as raised:
        read(Oven, {"OVEN_TRAYS": "9" * 5000})
    assert len(str(raised.value)) < 200


def test_a_unit_is_the_end_of_a_name() -> None:
    units = {each.name: each.unit for each in settings_of(Oven) if each.unit}
    assert units == {"OVEN_BAKE_S": "seconds", "OVEN_FLOUR_BYTES": "bytes"}


@pytest.mark.parametrize("setting", DECLARED, ids=lambda setting: setting.name)
def test_each_setting_has_a_sentence(setting: Setting) -> None:
    assert setting.sentence.endswith(".")
    assert setting.sentence[0].isupper()
    assert setting.parse is None or setting.allowed


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
@pytest.mark.parametrize(
    "value", ["-1", "nan", "inf", "-inf", "1e400", "9" * 30, "9" * 5000, "many", "\u0663", "0x10", "1 2", "1,2"]
)
def test_a_number_out_of_its_bounds_is_refused(setting: Setting, value: str) -> None:
    with pytest.raises(SettingsError) as raised:
        setting.read({setting.name: value})
    said = str(raised.value)
    assert said.startswith(f"{setting.name}={value[:100]}")
    assert said.endswith("is expected")


@pytest.mark.parametrize("setting", NUMBERS, ids=lambda setting: setting.name)
def test_the_bounds_of_a_number_can_be_used(setting: Setting) -> None:
    for bound in (setting.least, setting.largest):
        assert setting.read({setting.name: f"{bound:.12g}" if bound == setting.least else f"{bound:.0f}"}) == bound
    assert setting.default is None or setting.least <= setting.default <= setting.largest
    if setting.unit == "seconds":
        assert timedelta(seconds=setting.largest)
    elif setting.unit not in ("bytes", "KiB"):
        assert setting.largest < 2**31


@pytest.mark.parametrize("name", ["PULP_API_PORT"])
def test_a_port_is_a_port(name: str) -> None:
    (port,) = [setting for setting in DECLARED if setting.name == name]
    assert (port.least, port.largest) == (1, 65_535)


@pytest.mark.parametrize("quota", [f"rate={'9' * 400}/s", f"bytes={'9' * 400}G/min", f"burst={'9' * 400}"])
def test_a_quota_that_no_number_can_hold_is_refused(quota: str) -> None:
    (setting,) = [each for each in DECLARED if each.name == "PULP_QUOTA_SUBMITTER"]
    with pytest.raises(SettingsError, match=r"^PULP_QUOTA_SUBMITTER: quota .* is expected"):
        setting.read({setting.name: quota})


def test_secrets_are_marked() -> None:
    secrets = {setting.name for setting in DECLARED if setting.is_secret}
    assert secrets == {"PULP_KAFKA_PASSWORD", "PULP_KAFKA_OAUTH_CLIENT_SECRET", "PULP_POSTGRES"}
    in_files = {each.name for each in DECLARED if each.name.endswith("_FILE")}
    assert {name for name in secrets if f"{name}_FILE" not in in_files} == {"PULP_POSTGRES"}
    assert "PULP_POSTGRES_PASSWORD_FILE" in in_files  # of a connection string the password alone is a secret
    named = {each.name for each in DECLARED if "SECRET" in each.name or "PASSWORD" in each.name}
    assert {name for name in named - secrets if not name.endswith("_FILE")} == {
        *("PULP_PASSWORD_MEMORY_KIB", "PULP_PASSWORD_PASSES", "PULP_PASSWORD_MIN_LENGTH")
    }


@pytest.mark.parametrize("process", PROCESSES)
def test_the_settings_of_a_process_do_not_show_a_secret(process: Any) -> None:
    env = {
        **ENV,
        "PULP_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "PULP_KAFKA_SASL_MECHANISM": "PLAIN",
        "PULP_KAFKA_USERNAME": "jo",
        "PULP_KAFKA_PASSWORD": "secret-word",
    }
    assert "secret-word" not in repr(process.read(env))
