"""The formats of texts: what is accepted, what is refused, and that no answer repeats a refused text."""

import pytest
from pulp_events.argument_forms import FORMS, http_url, repository_id


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8000/zoo/",
        "https://[2001:db8::1]:8443/",
        "https://example.org",
        "https://example.org/a@b/?arch=x86_64&keyword=1&monkey=2#top",
        "HTTPS://Example.org/",
        "https://münchen.example/ü/",
    ],
)
def test_a_url(text: str) -> None:
    assert http_url(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "zoo",
        "not-a-url",
        "example.org/zoo/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "http://",
        "http:///zoo/",
        "http://[/",
        "http://example.org:port/",
        "http://example.org:0/",
        "http://example.org:65536/",
        "http://example.org/a b",
        " http://example.org/",
        "http://example.org/\n",
        "http://example.org\\@evil.example/",
        "http://example.org/\0",
        "http://example.org/" + "x" * 2000,
    ],
)
def test_what_is_no_url(text: str) -> None:
    assert str(http_url(text)).startswith("an http or https URL with a host is expected")


@pytest.mark.parametrize("user", ["me:hunter2", "me", ":hunter2", "hunter2%40x", ""])
def test_a_user_name_or_password_is_refused_and_not_repeated(user: str) -> None:
    told = str(http_url(f"https://{user}@example.org/zoo/"))
    assert "a URL with a user name or password is refused" in told
    assert "hunter2" not in told


@pytest.mark.parametrize(
    "query",
    [
        "token=hunter2",
        "a=1&TOKEN=hunter2",
        "access_token=hunter2",
        "accessToken=hunter2",
        "X-Amz-Signature=hunter2",
        "x-amz-credential=hunter2",
        "sv=1;sig=hunter2",
        "key=hunter2",
        "api-key=hunter2",
        "apikey=hunter2",
        "client_secret=hunter2",
        "password=hunter2",
        "p%61ssword=hunter2",
        "_auth_=hunter2",
        "hunter2-token",
    ],
)
def test_a_secret_in_a_query_is_refused_by_its_name_and_not_repeated(query: str) -> None:
    for mark in "?#":
        told = str(http_url(f"https://example.org/zoo/{mark}{query}"))
        assert "a URL with a secret in its query" in told
        assert "hunter2" not in told


@pytest.mark.parametrize("text", ["zoo", "ff7-e6", "a.b_c", "Zoo 7", "übung", "x" * 200])
def test_a_repository_id(text: str) -> None:
    assert repository_id(text) is None


@pytest.mark.parametrize("text", ["", " zoo", "zoo\n", "a\tb", "x\x7f", "x" * 201, "ü" * 34, "." * 67, ".", ".."])
def test_what_is_no_repository_id(text: str) -> None:
    assert repository_id(text) is not None


def test_a_repository_is_not_called_as_the_page_of_searches_in_pulp_2s_dialect() -> None:
    assert "no address can name it" in str(repository_id("search"))
    assert repository_id("searches") is None


@pytest.mark.parametrize("name", FORMS)
def test_every_form_refuses_an_empty_text(name: str) -> None:
    assert FORMS[name]("") is not None
