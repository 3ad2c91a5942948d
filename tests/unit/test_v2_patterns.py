"""MongoDB's regular expressions, as written for Postgres; `test_api_v2_search.py` tests what they find."""

import pytest
from pulp_api.v2.patterns import for_postgres
from pulp_events.errors import BadInput


@pytest.mark.parametrize("pattern", ["[a.", "[]a.b", "[[:alpha:].", "a[^", "[^]"])
def test_a_set_without_an_end_is_refused_as_pcre_does(pattern: str) -> None:
    with pytest.raises(BadInput, match="has no ] that ends its set"):
        for_postgres(pattern)


@pytest.mark.parametrize(
    ("pattern", "written"),
    [
        ("a # [b\n.c]", "(?sx)a # [b\n[^\\n]c]"),
        ("[#.] .", "(?sx)[#.] [^\\n]"),
    ],
)
def test_a_comment_hides_nothing_of_the_next_line(pattern: str, written: str) -> None:
    assert for_postgres(pattern, "x") == written


def test_a_line_does_not_begin_behind_the_last_line_end() -> None:
    """See PCRE's documentation of `PCRE_MULTILINE`."""
    assert for_postgres("^a", "m") == r"(?w)(?:\A|^(?!\Z))a"
    assert for_postgres("^a") == "(?s)^a"
