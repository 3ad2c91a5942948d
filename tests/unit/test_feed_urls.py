"""The URLs that are tried for a feed's files. The first is dnf's, from its `url_path_encode`."""

import pytest
from pulp_operations.feeds.urls import base_of, places

BASE = "https://cdn.example/al/guid/x86_64/"


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://cdn.example/zoo", "https://cdn.example/zoo/"),
        ("https://cdn.example/zoo/", "https://cdn.example/zoo/"),
        ("https://cdn.example", "https://cdn.example/"),
        ("https://cdn.example/zoo?token", "https://cdn.example/zoo/?token"),
        ("https://cdn.example/zoo/?a=b#c", "https://cdn.example/zoo/?a=b"),
    ],
)
def test_a_base_ends_with_a_slash(url: str, base: str) -> None:
    assert base_of(url) == base


@pytest.mark.parametrize(
    ("href", "first"),
    [
        ("Packages/ant.rpm", f"{BASE}Packages/ant.rpm"),
        ("../../../../../blobstore/ant.rpm", "https://cdn.example/blobstore/ant.rpm"),
        ("../../../blobstore/ant.rpm", "https://cdn.example/blobstore/ant.rpm"),
        ("/pool/ant.rpm", f"{BASE}pool/ant.rpm"),
        ("//pool/ant.rpm", f"{BASE}pool/ant.rpm"),
        ("Packages//a/./ant.rpm", f"{BASE}Packages//a/ant.rpm"),
        ("libstdc++-1.0.rpm", f"{BASE}libstdc%2B%2B-1.0.rpm"),
        ("a b.rpm", f"{BASE}a%20b.rpm"),
        ("a%b.rpm", f"{BASE}a%25b.rpm"),
        ("a%20b.rpm", f"{BASE}a%2520b.rpm"),
        ("a#b?c.rpm", f"{BASE}a%23b%3Fc.rpm"),
        ("a~1^2.rpm", f"{BASE}a~1%5E2.rpm"),
        ("\u00fcber.rpm", f"{BASE}%C3%BCber.rpm"),
        ("a:b.rpm", f"{BASE}a%3Ab.rpm"),
        ("https://other.example/a+b.rpm", "https://other.example/a+b.rpm"),
        ("HTTP://other.example/a b.rpm", "http://other.example/a%20b.rpm"),
    ],
)
def test_an_href_is_the_name_of_a_file(href: str, first: str) -> None:
    assert places(BASE, href)[0] == first


@pytest.mark.parametrize(
    ("href", "second"),
    [
        ("/pool/ant.rpm", "https://cdn.example/pool/ant.rpm"),
        ("a%20b.rpm", f"{BASE}a%20b.rpm"),
        ("a+b.rpm", f"{BASE}a+b.rpm"),
        ("a.rpm?sig=1", f"{BASE}a.rpm?sig=1"),
        ("//other.example/a.rpm", "https://other.example/a.rpm"),
    ],
)
def test_what_a_browser_would_ask_for_comes_next(href: str, second: str) -> None:
    assert places(BASE, href)[1:] == [second]


def test_an_ordinary_name_has_one_place() -> None:
    assert places(BASE, "Packages/a/ant-1.0-1.noarch.rpm") == [f"{BASE}Packages/a/ant-1.0-1.noarch.rpm"]


@pytest.mark.parametrize(
    ("base_url", "place"),
    [
        ("https://other.example/pool", "https://other.example/pool/ant.rpm"),
        ("https://other.example/pool/", "https://other.example/pool/ant.rpm"),
        ("../shared", "https://cdn.example/al/guid/shared/ant.rpm"),
        ("/shared/", f"{BASE}shared/ant.rpm"),
    ],
)
def test_an_xml_base_with_and_without_a_slash(base_url: str, place: str) -> None:
    assert places(BASE, "ant.rpm", base_url) == [place]


def test_the_query_of_a_feed_goes_with_its_own_server_alone() -> None:
    base = base_of("https://cdn.example/zoo?token")
    assert places(base, "ant.rpm") == ["https://cdn.example/zoo/ant.rpm?token"]
    assert places(base, "ant.rpm", "https://cdn.example/pool") == ["https://cdn.example/pool/ant.rpm?token"]
    assert places(base, "ant.rpm", "https://other.example/pool") == ["https://other.example/pool/ant.rpm"]
    assert places(base, "https://other.example/ant.rpm") == ["https://other.example/ant.rpm"]
    assert places(base, "https://cdn.example:8443/ant.rpm") == ["https://cdn.example:8443/ant.rpm"]
    assert places(base, "https://cdn.example/ant.rpm?a=b") == ["https://cdn.example/ant.rpm?a=b&token"]
