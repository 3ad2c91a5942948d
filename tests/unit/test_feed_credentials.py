"""Named credentials: where they are sent, where they never are, and what their files must be like."""

import base64
import os
import ssl
import traceback
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from pulp_worker import OperationError
from pulp_worker.bounds import fetch_settings
from pulp_worker.fetching import FetchFailed, FetchRefused
from pulp_worker.fetching.credentials import credential
from pulp_worker.fetching.fetcher import Fetcher
from pulp_worker.fetching.prefixes import prefix

from tests.support.certificates import Authority
from tests.support.feeds import context
from tests.support.mirror import LOCAL, Connector, Names, mirror, ok, redirect

SECRET = "TOP-SECRET-TEXT"
PUBLIC = "93.184.216.34"


@pytest.fixture
def files(tmp_path: Path) -> Callable[..., str]:
    def write(text: str, mode: int = 0o600, name: str = "feeds.toml") -> str:
        path = tmp_path / name
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    return write


@pytest.mark.parametrize(
    ("allowed", "url", "is_covered"),
    [
        ("https://cdn.example/content/", "https://cdn.example/content/a.rpm", True),
        ("https://cdn.example/content", "https://cdn.example/content/a.rpm", True),
        ("https://cdn.example/content/", "https://cdn.example/content", True),
        ("https://cdn.example", "https://cdn.example/a", True),
        ("https://cdn.example", "https://CDN.example:443/a", True),
        ("https://*.example/", "https://one.two.example/", True),
        ("https://[2001:4860::1]/", "https://[2001:4860::1]/a", True),
        ("https://cdn.example/a%20b/", "https://cdn.example/a%20b/c", True),
        ("https://cdn.example/content/", "https://cdn.example/contents/a.rpm", False),
        ("https://cdn.example/content/", "https://cdn.example/content/../secret", False),
        ("https://cdn.example/content/", "https://cdn.example/content/%2e%2e/secret", False),
        ("https://cdn.example/content/", "https://cdn.example/content/%252E%252e/secret", False),
        ("https://cdn.example/content/", "https://cdn.example/content/..%2fsecret", False),
        ("https://cdn.example/content/", "https://cdn.example/content/..;/secret", False),
        ("https://cdn.example/content/", "http://cdn.example/content/", False),
        ("https://cdn.example/", "https://cdn.example:8443/", False),
        ("https://cdn.example/", "https://cdn.example.evil.example/", False),
        ("https://cdn.example/", "https://evil.example/https://cdn.example/", False),
        ("https://cdn.example/", "https://evil.example/?https://cdn.example/", False),
        ("https://*.example/", "https://example/", False),
        ("https://*.example/", "https://evilexample/", False),
    ],
)
def test_which_urls_it_is_for(allowed: str, url: str, is_covered: bool) -> None:
    found = prefix(allowed)
    assert found is not None
    assert found.covers(httpx.URL(url)) is is_covered


@pytest.mark.parametrize(
    "text",
    [
        "cdn.example",
        "ftp://cdn.example/",
        "https://",
        "https://*/",
        "https://*",
        "https://jo:word@cdn.example/",
        "https://cdn.example/a?b",
        "https://cdn.example/a/../b",
        "https://cdn.example:99999/",
        "https://cdn.*.example/",
    ],
)
def test_what_is_no_prefix(text: str) -> None:
    assert prefix(text) is None


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (f'user = "jo"\npassword = "{SECRET}ö"', base64.b64encode(f"jo:{SECRET}ö".encode()).decode()),
        (f'headers = {{ X-Token = "{SECRET}" }}', f"X-Token: {SECRET}"),
        (f'query = "?{SECRET}"', f"?{SECRET} HTTP/1.1"),
    ],
)
async def test_it_is_sent_to_its_urls_and_to_no_other(files: Callable[..., str], given: str, sent: str) -> None:
    async with mirror({"/zoo/": ok(b"there")}) as other, mirror({"/outside": ok(b"out"), "/zoo/a": ok(b"a")}) as server:
        server.answers |= {
            "/zoo/away": redirect(other.url("/zoo/")),
            "/zoo/out": redirect("/outside"),
            "/zoo/on": redirect("a"),
        }
        setting = files(f'[zoo]\nurls = ["{server.url("/zoo/")}"]\n{given}\n')
        async with Fetcher(LOCAL, {}, credential=credential("zoo", setting)) as client:
            for path in ("/zoo/a", "/zoo/on", "/zoo/away", "/zoo/out"):
                await client.read(server.url(path), most_bytes=100)
            await client.read(other.url("/zoo/"), most_bytes=100)
    has_secret = {path.partition("?")[0]: sent in head for path, head in zip(server.asked(), server.heads, strict=True)}
    assert has_secret == {"/zoo/a": True, "/zoo/on": True, "/zoo/away": True, "/zoo/out": True, "/outside": False}
    assert [sent in head for head in other.heads] == [False, False]


async def test_a_feed_that_it_is_not_for_is_refused(files: Callable[..., str]) -> None:
    setting = files('[zoo]\nurls = ["https://cdn.example/"]\nuser = "jo"\npassword = "word"\n')
    async with Fetcher(LOCAL, {}, credential=credential("zoo", setting)) as client:
        with pytest.raises(FetchRefused, match="credential 'zoo' is not for this URL") as raised:
            client.check_credential("https://evil.example/zoo/?token")
        client.check_credential("https://cdn.example/zoo/")
    assert "token" not in str(raised.value)


def test_it_is_not_sent_to_servers_that_nobody_knows(files: Callable[..., str]) -> None:
    setting = files('[zoo]\nurls = ["https://cdn.example/"]\n')
    with pytest.raises(FetchRefused, match="only sent to servers whose certificate is checked"):
        Fetcher(LOCAL, {}, verify_tls=False, credential=credential("zoo", setting))


async def test_a_client_certificate_and_a_ca_of_its_own(files: Callable[..., str], tmp_path: Path) -> None:
    for name in ("server-ca", "client-ca"):
        (tmp_path / name).mkdir()
    servers, clients = Authority(tmp_path / "server-ca"), Authority(tmp_path / "client-ca")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*servers.sign("server"))
    tls.load_verify_locations(clients.certificate)
    tls.verify_mode = ssl.CERT_REQUIRED
    certificate, key = clients.sign("client")
    key.chmod(0o600)
    async with mirror({"/": ok(b"hello")}, tls) as server:
        url = f"https://127.0.0.1:{server.port}/"
        setting = files(
            f'[zoo]\nurls = ["{url}"]\nca = "server-ca/{servers.certificate.name}"\n'
            f'client_certificate = "{certificate}"\nclient_key = "{key}"\n'
        )
        async with Fetcher(LOCAL, {}, credential=credential("zoo", setting)) as client:
            assert await client.read(url, most_bytes=10) == b"hello"
        async with Fetcher(LOCAL, {}) as client:
            with pytest.raises(FetchFailed, match="the certificate of the server is not valid for it, or not trusted"):
                await client.read(url, most_bytes=10)


async def test_a_proxy_of_its_own(files: Callable[..., str]) -> None:
    async with mirror({"http://cdn.example/": ok(b"by proxy")}) as proxy:
        setting = files(f'[zoo]\nurls = ["http://cdn.example/"]\nproxy = "http://jo:{SECRET}@127.0.0.1:{proxy.port}"\n')
        async with Fetcher(LOCAL, {}, credential=credential("zoo", setting)) as client:
            assert await client.read("http://cdn.example/", most_bytes=10) == b"by proxy"
    assert proxy.asked() == ["http://cdn.example/"]


async def test_the_rules_hold_for_it_as_well(files: Callable[..., str]) -> None:
    setting = files(
        '[zoo]\nurls = ["http://169.254.169.254/", "http://cdn.example/"]\nheaders = { Metadata = "true" }\n'
    )
    connector = Connector()
    client = Fetcher(
        fetch_settings({}),
        {},
        credential=credential("zoo", setting),
        lookup=Names(cdn_example=[["169.254.169.254"]]),
        network=connector,
    )
    async with client:
        for url in ("http://169.254.169.254/", "http://cdn.example/"):
            with pytest.raises(FetchRefused):
                await client.read(url, most_bytes=10)
    assert connector.connections == []


BAD = {
    "no TOML": ("[zoo\n" + SECRET, "feeds.toml is not TOML: line 1"),
    "no table": (f'zoo = "{SECRET}"', "tables are expected"),
    "unknown key": (
        f'[zoo]\nurls = ["https://a.example/"]\npasword = "{SECRET}"',
        "pasword is not a known field, did you mean 'password'",
    ),
    "wrong type": (f'[zoo]\nurls = "https://a.example/{SECRET}"', "urls must be a list, not a text"),
    "no urls": ("[zoo]\nurls = []", "'urls' is empty"),
    "no prefix": (f'[zoo]\nurls = ["{SECRET}"]', "'urls' takes https://HOST/PATH/"),
    "half a login": ('[zoo]\nurls = ["https://a.example/"]\nuser = "jo"', "go together"),
    "two passwords": (
        f'[zoo]\nurls = ["https://a.example/"]\nuser = "jo"\npassword = "{SECRET}"\npassword_file = "p"',
        "not both",
    ),
    "a header that splits": (
        f'[zoo]\nurls = ["https://a.example/"]\nheaders = {{ X = "a\\r\\nY: {SECRET}" }}',
        "'headers' has a name or a value",
    ),
    "a header of ours": ('[zoo]\nurls = ["https://a.example/"]\nheaders = { Host = "b.example" }', "'headers' has"),
    "a query that splits": (f'[zoo]\nurls = ["https://a.example/"]\nquery = "a b {SECRET}"', "'query' has characters"),
    "no file": (
        '[zoo]\nurls = ["https://a.example/"]\nuser = "jo"\npassword_file = "none"',
        "none cannot be read: No such",
    ),
    "a key alone": ('[zoo]\nurls = ["https://a.example/"]\nclient_key = "a"', "needs a 'client_certificate'"),
}


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD.keys())
def test_a_file_that_cannot_be_used_is_named_and_not_quoted(files: Callable[..., str], text: str, words: str) -> None:
    setting = files(text)
    with pytest.raises(OperationError, match=words) as raised:
        credential("zoo", setting)
    assert raised.value.code == "bad-credential"
    assert str(raised.value).endswith("(PULP_FEED_CREDENTIALS)")
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o604])
def test_a_file_that_others_may_read_is_refused(files: Callable[..., str], mode: int) -> None:
    setting = files('[zoo]\nurls = ["https://a.example/"]\n', mode)
    with pytest.raises(OperationError, match=r"feeds\.toml may be read by others, or is not ours"):
        credential("zoo", setting)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(files: Callable[..., str]) -> None:
    setting = files('[zoo]\nurls = ["https://a.example/"]\n')
    os.chown(setting, 12_345, 12_345)
    with pytest.raises(OperationError, match=r"feeds\.toml may be read by others, or is not ours"):
        credential("zoo", setting)


def test_a_password_file_that_others_may_read_is_refused(files: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "word").write_text(SECRET)
    setting = files('[zoo]\nurls = ["https://a.example/"]\nuser = "jo"\npassword_file = "word"\n')
    with pytest.raises(OperationError, match="word may be read by others"):
        credential("zoo", setting)
    (tmp_path / "word").chmod(0o600)
    assert SECRET not in repr(credential("zoo", setting))


def test_certificates_that_are_none(files: Callable[..., str], tmp_path: Path) -> None:
    files(SECRET, name="client.pem")
    found = credential("zoo", files('[zoo]\nurls = ["https://a.example/"]\nclient_certificate = "client.pem"\n'))
    with pytest.raises(OperationError, match="its CA bundle, certificate or key cannot be used") as raised:
        found.tls()
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_a_folder_of_files(files: Callable[..., str], tmp_path: Path) -> None:
    for name in ("one", "two"):
        files(f'[{name}]\nurls = ["https://{name}.example/"]\n', name=f"{name}.toml")
    assert credential("two", str(tmp_path)).name == "two"
    files('[two]\nurls = ["https://two.example/"]\n', name="three.toml")
    with pytest.raises(OperationError, match=r"credential 'two' is in three\.toml and in two\.toml"):
        credential("two", str(tmp_path))


@pytest.mark.parametrize(("has_files", "words"), [(True, "there is none"), (False, "is not set on this worker")])
def test_a_name_that_nobody_knows(files: Callable[..., str], has_files: bool, words: str) -> None:
    setting = files('[zoo]\nurls = ["https://a.example/"]\n') if has_files else None
    with pytest.raises(OperationError, match=words) as raised:
        credential("unicorn", setting)
    assert raised.value.code == "unknown-credential"


def test_a_relative_path_is_of_the_folder_where_the_worker_was_started(
    files: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files('[zoo]\nurls = ["https://a.example/"]\n')
    monkeypatch.chdir(tmp_path)
    settings = fetch_settings({"PULP_FEED_CREDENTIALS": "feeds.toml"})
    monkeypatch.chdir("/")
    assert credential("zoo", settings.credentials).name == "zoo"


def test_the_context_of_an_operation_finds_it(files: Callable[..., str], tmp_path: Path) -> None:
    setting = files('[zoo]\nurls = ["https://a.example/"]\n')
    settings = fetch_settings({"PULP_FEED_CREDENTIALS": setting})
    context(tmp_path, settings).fetcher(credential="zoo").check_credential("https://a.example/")
    with pytest.raises(OperationError, match="no credential is called 'unicorn'"):
        context(tmp_path, settings).fetcher(credential="unicorn")
