"""Nothing starts unless Kafka's jars are the released ones."""

import hashlib
from pathlib import Path

import pytest
from pulp_deploy.errors import JarMismatch
from pulp_deploy.local.jars import check, released_sums


def jar(repository: Path, name: str, content: bytes = b"jar") -> Path:
    path = repository / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def sum_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_the_released_jars_pass(tmp_path: Path) -> None:
    jar(tmp_path, "org/a/1/a-1.jar")
    check(tmp_path, {"org/a/1/a-1.jar": sum_of(b"jar")})


def test_a_jar_with_another_sum_is_named_and_the_repair_told(tmp_path: Path) -> None:
    damaged = jar(tmp_path, "org/a/1/a-1.jar", b"damaged")
    with pytest.raises(JarMismatch) as caught:
        check(tmp_path, {"org/a/1/a-1.jar": sum_of(b"jar")})
    assert str(damaged) in str(caught.value)
    assert sum_of(b"damaged") in str(caught.value)
    assert "Remove it" in str(caught.value)


def test_a_missing_jar_is_named(tmp_path: Path) -> None:
    jar(tmp_path, "org/a/1/a-1.jar")
    with pytest.raises(JarMismatch, match=r"org/b/2/b-2\.jar is missing"):
        check(tmp_path, {"org/a/1/a-1.jar": sum_of(b"jar"), "org/b/2/b-2.jar": sum_of(b"b")})


def test_every_released_jar_has_a_sum() -> None:
    sums = released_sums()
    assert "org/apache/kafka/kafka_2.13/4.3.1/kafka_2.13-4.3.1.jar" in sums
    assert {len(digest) for digest in sums.values()} == {64}
