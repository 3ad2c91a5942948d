"""A setting is declared once, in its settings class, and read from there."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pulp_accounts.passwords import PasswordSettings
from pulp_api.front.limits import Limits
from pulp_api.settings import Settings as ApiSettings
from pulp_deploy import settings_reference
from pulp_events.declared_settings import Setting, read, settings_of
from pulp_events.settings import SettingsError
from pulp_processor.settings import Settings as ProcessorSettings
from pulp_worker.settings import Settings as WorkerSettings

CLASSES = (ApiSettings, Limits, PasswordSettings, ProcessorSettings, WorkerSettings)


@dataclass(frozen=True)
class Oven:
    hot: Annotated[bool, Setting("OVEN_HOT", "Whether it is hot.", choices=("no", "yes"))] = False
    trays: Annotated[int, Setting("OVEN_TRAYS", "How many trays it has.", least=1, most=4)] = 2
    bake_s: Annotated[float, Setting("OVEN_BAKE_S", "How long it bakes.")] = 1.5
    breads: Annotated[tuple[str, ...], Setting("OVEN_BREADS", "What it bakes.")] = ("rye",)
    baker: str = "jo"


def test_without_an_environment_the_defaults_count() -> None:
    assert Oven(**read(Oven, {})) == Oven()


def test_what_is_set_counts() -> None:
    env = {"OVEN_HOT": " Yes", "OVEN_TRAYS": "4", "OVEN_BAKE_S": "2", "OVEN_BREADS": "rye, oat"}
    assert Oven(**read(Oven, env)) == Oven(hot=True, trays=4, bake_s=2.0, breads=("rye", "oat"))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("OVEN_HOT", "warm", "OVEN_HOT=warm: one of no, yes is expected"),
        ("OVEN_TRAYS", "0", "OVEN_TRAYS=0: a number of at least 1 is expected"),
        ("OVEN_TRAYS", "5", "OVEN_TRAYS=5: a number from 1 to 4 is expected"),
        ("OVEN_TRAYS", "1.5", "OVEN_TRAYS=1.5: a whole number is expected"),
        ("OVEN_BAKE_S", "-1", "OVEN_BAKE_S=-1: a number of at least 0 is expected"),
        ("OVEN_BAKE_S", "long", "OVEN_BAKE_S=long: a number is expected"),
    ],
)
def test_a_wrong_value_is_named_with_its_key(key: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(Oven, {key: value})
    assert str(raised.value) == said


def test_a_unit_is_the_end_of_a_name() -> None:
    assert {each.name: each.unit for each in settings_of(Oven).values()} == {
        "OVEN_HOT": "",
        "OVEN_TRAYS": "",
        "OVEN_BAKE_S": "seconds",
        "OVEN_BREADS": "",
    }


@pytest.mark.parametrize("cls", CLASSES)
def test_each_setting_has_a_sentence(cls: Any) -> None:
    declared = settings_of(cls).values()
    assert declared
    assert [each.name for each in declared if not each.sentence.endswith(".")] == []


def test_the_reference_is_what_the_code_says() -> None:
    assert settings_reference.PAGE.read_text(encoding="utf-8") == settings_reference.text()
    assert "| `PULP_API_PORT` | 24817 |  | ≥ 1 |" in settings_reference.text()


def test_every_settings_class_is_in_the_reference() -> None:
    assert {each for group in settings_reference.GROUPS.values() for each in group} == set(CLASSES)
