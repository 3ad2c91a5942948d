"""Random repositories for the property tests: their contents, and how they are written."""

from dataclasses import replace

from hypothesis import strategies as st

from tests.support.repositories import Advisory, Changelog, Dependency, Group, Repository, Rpm

_NAME = st.from_regex(r"[a-z][a-z0-9+_.-]{0,12}[a-z0-9]", fullmatch=True)
_VERSION = st.from_regex(r"[0-9]{1,3}(\.[0-9a-z]{1,4}){0,3}([~^][a-z0-9]{1,5})?", fullmatch=True)
_ID = st.from_regex(r"[A-Z]{2,5}-20[0-9]{2}:[0-9]{4}", fullmatch=True)
# What XML can hold, less what its readers change: line ends and blanks at the ends.
_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"], exclude_characters="\ufffe\uffff"),
    min_size=1,
    max_size=40,
).map(lambda text: f"t{text}t")
_PATH = st.lists(_TEXT.map(lambda text: text.replace("/", "_")), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
_PATHS = st.lists(_PATH, max_size=4, unique=True).map(tuple)
_CHANGELOGS = st.lists(st.builds(Changelog, author=_TEXT, date=st.integers(0, 2**31 - 1), text=_TEXT), max_size=3).map(
    tuple
)
_DEPENDENCY = st.one_of(
    st.builds(Dependency, _NAME),
    st.builds(Dependency, _NAME, st.sampled_from(["LT", "LE", "EQ", "GE", "GT"]), _VERSION, st.none() | _VERSION),
)
_RPM = st.builds(
    Rpm,
    name=_NAME,
    version=_VERSION,
    release=_VERSION,
    epoch=st.integers(0, 99).map(str),
    arch=st.sampled_from(["noarch", "x86_64", "i686", "aarch64", "src"]),
    files=_PATHS,
    folders=_PATHS,
    ghosts=_PATHS,
    changelogs=_CHANGELOGS,
    requires=st.lists(_DEPENDENCY, max_size=4).map(tuple),
    summary=_TEXT,
    description=_TEXT,
    checksum_type=st.sampled_from(["sha256", "sha256", "sha1", "sha384", "sha512"]),
)


@st.composite
def repositories(draw: st.DrawFn) -> Repository:
    """A repository in the order and form that every reader takes."""
    rpms = draw(st.lists(_RPM, min_size=1, max_size=6, unique_by=lambda rpm: rpm.file_name))
    some = st.lists(st.sampled_from(rpms), max_size=3, unique=True).map(tuple)
    advisory = st.builds(Advisory, id=_ID, packages=some, title=_TEXT, description=_TEXT)
    group = st.builds(Group, id=_NAME, packages=some.map(lambda chosen: tuple(rpm.name for rpm in chosen)), name=_TEXT)
    return Repository(
        rpms=rpms,
        advisories=draw(st.lists(advisory, max_size=3, unique_by=lambda each: each.id)),
        groups=draw(st.lists(group, max_size=3, unique_by=lambda each: each.id)),
        extra=draw(
            st.dictionaries(st.sampled_from(["modules", "productid", "zoo"]), st.binary(max_size=50), max_size=2)
        ),
    )


@st.composite
def written_otherwise(draw: st.DrawFn, repository: Repository) -> Repository:
    """The same content in another order, with other compression, in other places."""
    packing = st.sampled_from(["", "gz", "bz2", "xz", "zst"])
    rpms = list(repository.rpms)
    return replace(
        repository,
        compression=draw(packing),
        compressions=draw(st.dictionaries(st.sampled_from(["primary", "filelists", "other", "updateinfo"]), packing)),
        checksum_type=draw(st.sampled_from(["sha256", "sha1", "sha512"])),
        listed={kind: draw(st.permutations(rpms)) for kind in ("filelists", "other")},
        has_sizes=draw(st.booleans()),
        folder=draw(st.sampled_from(["", "a/b/"])),
    )
