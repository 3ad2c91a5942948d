"""For any repository, createrepo_c reads the same in our metadata as in the feed's."""

import gzip
import lzma
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import metadata
from tests.support.metadata import Rpm, advisory, normalised, of, updateinfo

LEGAL = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
TEXTS = st.text(LEGAL | st.sampled_from("<>&\"'\n\t]"), max_size=30)
PATHS = st.lists(st.text(LEGAL, min_size=1, max_size=9), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
CHANGES = st.tuples(TEXTS, st.integers(-1, 2**31).map(str), TEXTS)
PACKAGES = st.lists(
    st.builds(
        Rpm,
        name=st.text("abcdefgh", min_size=1, max_size=4),
        summary=TEXTS,
        files=st.lists(PATHS, max_size=4),
        changes=st.lists(CHANGES, max_size=3),
    ),
    max_size=6,
    unique_by=lambda package: package.name,
)
PACKERS: list[Callable[[bytes], bytes]] = [bytes, gzip.compress, lzma.compress, zstd.compress]


def prefixed(document: bytes) -> bytes:
    """The same document with another prefix for rpm's namespace."""
    return document.replace(b"<rpm:", b"<r:").replace(b"</rpm:", b"</r:").replace(b"xmlns:rpm=", b"xmlns:r=")


@settings(max_examples=60, deadline=None)
@given(PACKAGES, st.randoms(use_true_random=False), st.sampled_from(PACKERS), st.booleans())
def test_nothing_is_lost(
    packages: list[Rpm], random: Random, pack: Callable[[bytes], bytes], is_prefixed: bool
) -> None:
    plain = of(*packages)
    shuffled = random.sample(packages, len(packages))
    given_documents = {
        "primary": prefixed(plain["primary"]) if is_prefixed else plain["primary"],
        "filelists": metadata.filelists(*shuffled).encode(),
        "other": metadata.other(*reversed(shuffled)).encode(),
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        made = normalised(folder / "made", {kind: pack(content) for kind, content in given_documents.items()})
        assert made.read() == metadata.read_by_createrepo(folder, plain)
        assert [package.checksum for package in made.packages] == [package.checksum for package in packages]
        assert made.notes == []


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("AB-:12", min_size=1, max_size=6), max_size=5),
    st.lists(st.text("AB-:12", min_size=1, max_size=6), max_size=5),
)
def test_advisories_are_added_to_those_before(before: list[str], now: list[str]) -> None:
    with TemporaryDirectory() as name:
        base = normalised(Path(name) / "1", of(updateinfo=updateinfo(*map(advisory, before))))
        made = normalised(Path(name) / "2", of(updateinfo=updateinfo(*map(advisory, now))), base=base.folder)
        assert made.advisories() == [*now, *(each for each in before if each not in now)]
        assert made.told.counts.errata == len(made.advisories())
