"""Kafka's jars are those that were released, or nothing starts."""

import hashlib
from pathlib import Path

import pytest
from pulp_deploy.errors import JarMismatch
from pulp_deploy.local.jars import check, released_sums


def jar(folder: Path, name: str, content: bytes = b"jar") -> Path:
    path = folder / "env" / "jars" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_released_jars_pass(tmp_path: Path) -> None:
    check([jar(tmp_path, "a-1.jar")], {"a-1.jar": sum_of(b"jar")})


def test_a_jar_with_another_sum_is_named_and_the_repair_told(tmp_path: Path) -> None:
    damaged = jar(tmp_path, "a-1.jar", b"damaged")
    with pytest.raises(JarMismatch) as caught:
        check([damaged], {"a-1.jar": sum_of(b"jar")})
    assert str(damaged) in str(caught.value)
    assert sum_of(b"damaged") in str(caught.value)
    assert "Remove it" in str(caught.value)


def test_a_jar_too_many_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JarMismatch, match=r"evil\.jar is not one of"):
        check([jar(tmp_path, "a-1.jar"), jar(tmp_path, "evil.jar")], {"a-1.jar": sum_of(b"jar")})


def test_a_missing_jar_is_named(tmp_path: Path) -> None:
    with pytest.raises(JarMismatch, match=r"b-2\.jar is missing in .*env"):
        check([jar(tmp_path, "a-1.jar")], {"a-1.jar": sum_of(b"jar"), "b-2.jar": sum_of(b"b")})


def test_every_released_jar_has_a_sum() -> None:
    sums = released_sums()
    assert "kafka_2.13-4.3.1.jar" in sums
    assert {len(digest) for digest in sums.values()} == {64}
