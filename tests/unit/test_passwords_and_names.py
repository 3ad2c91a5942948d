"""Which passwords and names are taken, and how a password is hashed."""

import hashlib
from base64 import b64encode
from unicodedata import normalize

import pytest
from argon2 import extract_parameters
from pulp_accounts.passwords import PasswordSettings, check_password, hash_password, is_outdated, matches
from pulp_accounts.user_names import check_new_name, normal_name, objection_to, skeleton
from pulp_events.errors import BadInput, SettingsError

COSTLY = PasswordSettings(memory_kib=20_480, passes=3)


def scrypt(password: str) -> str:
    """As earlier releases hashed."""
    salt = b"0123456789abcdef"
    key = hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)
    return f"scrypt${b64encode(salt).decode()}${b64encode(key).decode()}"


def test_a_hash_is_argon2id_with_its_parameters_and_a_salt_of_its_own() -> None:
    one, other = hash_password("correct horse"), hash_password("correct horse")
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other
    assert matches("correct horse", one)
    assert not matches("Correct horse", one)
    assert not is_outdated(one)


def test_a_hash_of_an_earlier_release_is_right_and_outdated() -> None:
    old = scrypt("pässwörd")
    assert matches("pässwörd", old)
    assert not matches("password", old)
    assert is_outdated(old)


def test_a_hash_of_another_cost_is_right_and_outdated() -> None:
    cheap, costly = hash_password("correct horse"), hash_password("correct horse", COSTLY)
    assert (extract_parameters(costly).memory_cost, extract_parameters(costly).time_cost) == (20_480, 3)
    assert matches("correct horse", costly)
    assert is_outdated(cheap, COSTLY)
    assert not is_outdated(costly, COSTLY)


@pytest.mark.parametrize("broken", ["", "x", "scrypt$", "scrypt$a$b", "$argon2id$v=19$m=1,t=1,p=1$x$y", "$2b$12$abc"])
def test_what_is_no_hash_matches_nothing(broken: str) -> None:
    assert not matches("", broken)
    assert not matches("x", broken)
    assert is_outdated(broken)


def test_one_password_however_its_accents_are_composed() -> None:
    assert matches(normalize("NFD", "pässwörter sind gut"), hash_password(normalize("NFC", "pässwörter sind gut")))


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "empty"),
        ("x", "fewer than 12"),
        ("elevenchars", "fewer than 12"),
        ("x" * 1001, "more than 1000 bytes"),
        ("é" * 501, "more than 1000 bytes"),
        ("with\0nul inside it", "cannot be typed"),
        ("two lines\nof a file", "cannot be typed"),
        ("jo.meier@example", "user's name"),
        ("JoMeierExample2024", "user's name"),
        ("Password1234", "common"),
        ("Correct-Horse-Battery-Staple", "common"),
        ("Changeme!!2026", "common"),
        ("aaaaaaaaaaaaaa", "repeats"),
        ("abababababab", "repeats"),
        ("123456789012", "sequence"),
        ("abcdefghijklm", "sequence"),
        ("lkjhgfdsalkjhgfdsa", "sequence"),
    ],
)
def test_a_password_that_is_guessed_first_is_refused_without_being_repeated(password: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        check_password(password, "jo.meier@example")
    assert not password or len(password) < 3 or password not in str(caught.value)


@pytest.mark.parametrize(
    "password",
    ["some words in a row", "tr0ub4dor&3xyz", "пароль из слов", "東京都千代田区霞が関一丁目", "x7%Kq!2mZ#9p"],
)
def test_length_counts_and_kinds_of_characters_do_not(password: str) -> None:
    check_password(password, "jo")


def test_the_length_and_the_cost_are_settings_with_a_least_value() -> None:
    check_password("eight ch", "jo", PasswordSettings.read({"PULP_PASSWORD_MIN_LENGTH": "8"}))
    assert PasswordSettings.read({"PULP_PASSWORD_MEMORY_KIB": "65536"}).memory_kib == 65_536
    for key, value in (("MIN_LENGTH", "7"), ("MIN_LENGTH", "1000"), ("MEMORY_KIB", "4096"), ("PASSES", "1")):
        with pytest.raises(SettingsError, match=f"PULP_PASSWORD_{key}"):
            PasswordSettings.read({f"PULP_PASSWORD_{key}": value})


@pytest.mark.parametrize(
    "name",
    [
        "",
        "admin ",
        " admin",
        "jo smith",
        "../x",
        "a/b",
        "a\\b",
        "a:b",
        "..",
        ".",
        "-rf",
        "adm\u0456n",  # a Cyrillic letter
        "\u0430dmin",
        "\u0391dmin",  # a Greek one
        "admin\u200b",
        "ad\u00admin",
        "admin\u202e",
        "\u2066admin",
        "admin\ufe0f",
        "admin\0",
        "admin\n",
        "\x1b[31madmin",
        "admin\u2028",
        "ﬁsh",
        "admin\U000e0041",
        "\ud800",
        "x" * 201,
    ],
)
def test_a_name_that_cannot_be_told_from_another_is_refused(name: str) -> None:
    assert objection_to(name) is not None
    with pytest.raises(BadInput, match="cannot be used") as caught:
        check_new_name(name, [])
    assert str(caught.value).isprintable()
    assert str(caught.value).isascii()


@pytest.mark.parametrize(
    "name", ["jo", "Jo.Smith", "jo@example.com", "ci_bot-7", "zoë", "жанна", "张三", "佐藤さん", "שלום", "o'neil"]
)
def test_a_name_of_any_one_script_is_taken(name: str) -> None:
    assert check_new_name(name, ["somebody"]) == name


def test_a_claimed_name_of_any_length_is_not_worked_on() -> None:
    assert normal_name("\uff4a" * 201) == "\uff4a" * 201


def test_a_name_has_one_form() -> None:
    assert check_new_name(normalize("NFD", "zoë"), []) == normalize("NFC", "zoë")
    assert check_new_name("\uff4a\uff4f", []) == "jo"
    assert normal_name("jo smith") == "jo smith"  # a name from an earlier release stays as it is


@pytest.mark.parametrize(
    ("new", "there"),
    [
        ("Admin", "admin"),
        ("ADMIN", "admin"),
        ("\u0455\u0441\u043e\u0440\u0435", "scope"),
        ("\u03bf\u03c1", "op"),
        ("adm1n", "admln"),
        ("admin", "adm\u0456n"),
    ],
)
def test_a_name_that_looks_like_one_that_is_there_is_refused(new: str, there: str) -> None:
    assert skeleton(new) == skeleton(there)
    with pytest.raises(BadInput, match="looks like that of user"):
        check_new_name(new, ["other", there])


def test_the_same_name_exists_already() -> None:
    with pytest.raises(BadInput, match="user jo exists already"):
        check_new_name("jo", ["jo"])
