"""PULP_KAFKA_*: one set of settings for both clients, errors that name the setting, and no secret in any text."""

import json
import pickle
import ssl
import subprocess
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from pulp_events.errors import SettingsError
from pulp_events.kafka import Kafka, client_settings
from pulp_events.local_stack import environment
from pulp_events.security import KEYS, read
from pulp_events.settings import kafka
from pulp_events.tokens import token_of
from pulp_processor.consuming.aiokafka_settings import aiokafka_settings, faust_credentials

SCRAM = {
    "PULP_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "PULP_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
    "PULP_KAFKA_USERNAME": "jo",
    "PULP_KAFKA_PASSWORD": "s3cret",
}
OAUTH = {"PULP_KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "PULP_KAFKA_SASL_MECHANISM": "OAUTHBEARER"}
FAR_FUTURE_S = 4_000_000_000


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two self-signed certificates with their keys; the second key has a password."""
    folder = tmp_path_factory.mktemp("certificates")
    for name, password in (("one", None), ("two", "opened")):
        encrypted = ["-nodes"] if password is None else ["-passout", f"pass:{password}"]
        files = ["-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")]
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                *encrypted,
                "-subj",
                f"/CN={name}",
                "-days",
                "2",
                *files,
            ],
            check=True,
            capture_output=True,
        )
    (folder / "password").write_text("opened\n")
    (folder / "empty").write_text("")
    return folder


def jwt(**claims: Any) -> str:
    parts = ({"alg": "none"}, claims)
    return ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def test_without_settings_it_is_plaintext() -> None:
    assert client_settings("h:1") == client_settings(kafka({"PULP_KAFKA": "h:1"}))
    assert "security.protocol" not in client_settings("h:1")
    assert aiokafka_settings("h:1")["security_protocol"] == "PLAINTEXT"


def test_one_set_of_settings_logs_both_clients_in() -> None:
    found = kafka({"PULP_KAFKA": "h:1", **SCRAM})
    librdkafka = client_settings(found)
    assert librdkafka["security.protocol"] == "SASL_PLAINTEXT"
    assert librdkafka["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (librdkafka["sasl.username"], librdkafka["sasl.password"]) == ("jo", "s3cret")
    aiokafka = aiokafka_settings(found)
    assert aiokafka["security_protocol"] == "SASL_PLAINTEXT"
    assert aiokafka["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (aiokafka["sasl_plain_username"], aiokafka["sasl_plain_password"]) == ("jo", "s3cret")
    credentials = faust_credentials(found.security)
    assert credentials is not None
    assert vars(credentials)["password"] == "s3cret"


def test_certificates_go_to_both_clients(certificates: Path) -> None:
    security = read(
        {
            "PULP_KAFKA_SECURITY_PROTOCOL": "ssl",
            "PULP_KAFKA_CA": str(certificates / "one.pem"),
            "PULP_KAFKA_CERTIFICATE": str(certificates / "two.pem"),
            "PULP_KAFKA_KEY": str(certificates / "two.key"),
            "PULP_KAFKA_KEY_PASSWORD_FILE": str(certificates / "password"),
        }
    )
    settings = client_settings(Kafka("h:1", security))
    assert settings["ssl.ca.location"] == str(certificates / "one.pem")
    assert settings["ssl.key.password"] == "opened"
    assert settings["ssl.endpoint.identification.algorithm"] == "https"
    context = aiokafka_settings(Kafka("h:1", security))["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_the_name_of_the_host_is_left_unchecked_only_on_request() -> None:
    env = {"PULP_KAFKA_SECURITY_PROTOCOL": "SSL", "PULP_KAFKA_VERIFY_HOSTNAME": "false"}
    security = read(env)
    assert client_settings(Kafka("h:1", security))["ssl.endpoint.identification.algorithm"] == "none"
    context = aiokafka_settings(Kafka("h:1", security))["ssl_context"]
    assert not context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED  # its signer still counts


def test_a_changed_password_file_counts_for_the_next_client(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    env = {key: value for key, value in SCRAM.items() if key != "PULP_KAFKA_PASSWORD"}
    found = kafka({"PULP_KAFKA": "h:1", **env, "PULP_KAFKA_PASSWORD_FILE": str(file)})
    assert client_settings(found)["sasl.password"] == "old"
    file.write_text("new\n")
    assert client_settings(found)["sasl.password"] == "new"
    assert aiokafka_settings(found)["sasl_plain_password"] == "new"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"PULP_KAFKA_SECURITY_PROTOCOL": "TLS"}, "PULP_KAFKA_SECURITY_PROTOCOL='TLS': one of PLAINTEXT, SSL,"),
        (
            {"PULP_KAFKA_SASL_MECHANISM": "PLAIN"},
            "PULP_KAFKA_SASL_MECHANISM is set, but PULP_KAFKA_SECURITY_PROTOCOL is",
        ),
        (
            {"PULP_KAFKA_PASSWORD": "s3cret"},
            "PULP_KAFKA_PASSWORD is set, but PULP_KAFKA_SECURITY_PROTOCOL is PLAINTEXT",
        ),
        ({"PULP_KAFKA_CA": "/x"}, "PULP_KAFKA_CA is set, but PULP_KAFKA_SECURITY_PROTOCOL is PLAINTEXT"),
        ({**SCRAM, "PULP_KAFKA_CA": "/x"}, "which has no TLS"),
        ({"PULP_KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "PULP_KAFKA_SASL_MECHANISM is not set"),
        ({**SCRAM, "PULP_KAFKA_SASL_MECHANISM": "GSSAPI"}, "PULP_KAFKA_SASL_MECHANISM='GSSAPI': one of PLAIN, SCRAM"),
        ({**SCRAM, "PULP_KAFKA_USERNAME": ""}, "PULP_KAFKA_USERNAME is not set"),
        ({**SCRAM, "PULP_KAFKA_PASSWORD": ""}, "neither PULP_KAFKA_PASSWORD_FILE nor PULP_KAFKA_PASSWORD is set"),
        ({**SCRAM, "PULP_KAFKA_PASSWORD_FILE": "/x"}, "are both set"),
        ({**SCRAM, "PULP_KAFKA_OAUTH_TOKEN_FILE": "/x"}, "PULP_KAFKA_OAUTH_TOKEN_FILE is set, but"),
        (OAUTH, "none of them is set"),
        (
            {**OAUTH, "PULP_KAFKA_PASSWORD": "s3cret"},
            "PULP_KAFKA_PASSWORD is set, but PULP_KAFKA_SASL_MECHANISM is OAUTH",
        ),
        ({**OAUTH, "PULP_KAFKA_OAUTH_TOKEN_FILE": "/nowhere"}, "PULP_KAFKA_OAUTH_TOKEN_FILE=/nowhere cannot be read"),
        ({**OAUTH, "PULP_KAFKA_OAUTH_CALLBACK": "nowhere:f"}, "PULP_KAFKA_OAUTH_CALLBACK=nowhere:f cannot be imported"),
        ({**OAUTH, "PULP_KAFKA_OAUTH_CALLBACK": "os"}, "PULP_KAFKA_OAUTH_CALLBACK=os cannot be imported"),
        ({**OAUTH, "PULP_KAFKA_OAUTH_CALLBACK": "os:name"}, "PULP_KAFKA_OAUTH_CALLBACK=os:name is not a function"),
        ({**OAUTH, "PULP_KAFKA_OAUTH_TOKEN_URL": "https://h/t"}, "PULP_KAFKA_OAUTH_CLIENT_ID is not set"),
        (
            {**OAUTH, "PULP_KAFKA_OAUTH_TOKEN_URL": "http://h.example/t", "PULP_KAFKA_OAUTH_CLIENT_ID": "c"}
            | {"PULP_KAFKA_OAUTH_CLIENT_SECRET": "s3cret"},
            "is not the address of a token endpoint: https://HOST/PATH",
        ),
        (
            {**OAUTH, "PULP_KAFKA_OAUTH_TOKEN_URL": "https://c:s3cret@h/t", "PULP_KAFKA_OAUTH_CLIENT_ID": "c"}
            | {"PULP_KAFKA_OAUTH_CLIENT_SECRET": "s3cret"},
            "PULP_KAFKA_OAUTH_TOKEN_URL holds a login",
        ),
        (
            {**OAUTH, "PULP_KAFKA_OAUTH_TOKEN_FILE": "/x", "PULP_KAFKA_OAUTH_TOKEN_URL": "https://h/t"},
            "PULP_KAFKA_OAUTH_TOKEN_FILE and PULP_KAFKA_OAUTH_TOKEN_URL are set",
        ),
    ],
)
def test_wrong_settings_are_named(env: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as raised:
        read(env)
    assert said in str(raised.value)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"CA": "nowhere"}, "PULP_KAFKA_CA=.*nowhere holds no certificates that can be read: No such file"),
        ({"CA": "empty"}, "PULP_KAFKA_CA=.*empty holds no certificates"),
        ({"CA": "one.key"}, "PULP_KAFKA_CA=.*one.key holds no certificates"),
        ({"CERTIFICATE": "nowhere"}, "PULP_KAFKA_CERTIFICATE=.*nowhere cannot be read: No such file"),
        ({"KEY": "nowhere"}, "PULP_KAFKA_KEY=.*nowhere cannot be read: No such file"),
        ({"KEY": ""}, "PULP_KAFKA_KEY is not set, and PULP_KAFKA_CERTIFICATE is"),
        ({"KEY": "two.key"}, "PULP_KAFKA_KEY=.*two.key cannot be used"),
        ({"CERTIFICATE": "two.pem"}, "PULP_KAFKA_KEY=.*one.key is not the key of the certificate"),
        ({"CERTIFICATE": "one.key"}, "PULP_KAFKA_CERTIFICATE=.*one.key and PULP_KAFKA_KEY=.* cannot be used"),
        ({"KEY_PASSWORD_FILE": "nowhere"}, "PULP_KAFKA_KEY_PASSWORD_FILE=.*nowhere cannot be read"),
        ({"KEY_PASSWORD_FILE": "empty"}, "PULP_KAFKA_KEY_PASSWORD_FILE=.*empty is empty"),
        ({"VERIFY_HOSTNAME": "perhaps"}, "PULP_KAFKA_VERIFY_HOSTNAME=.*: one of false, true is expected"),
    ],
)
def test_files_that_cannot_be_used_are_named(changed: dict[str, str], said: str, certificates: Path) -> None:
    names = {"CA": "one.pem", "CERTIFICATE": "one.pem", "KEY": "one.key", **changed}
    env = {f"PULP_KAFKA_{key}": str(certificates / name) if name else "" for key, name in names.items()}
    with pytest.raises(SettingsError, match=said):
        read({"PULP_KAFKA_SECURITY_PROTOCOL": "SSL", **env})


def test_no_text_of_it_holds_a_secret() -> None:
    found = kafka({"PULP_KAFKA": "h:1", **SCRAM})
    endpoint = read(
        {
            **OAUTH,
            "PULP_KAFKA_OAUTH_TOKEN_URL": "https://h/t",
            "PULP_KAFKA_OAUTH_CLIENT_ID": "c",
            "PULP_KAFKA_OAUTH_CLIENT_SECRET": "s3cret",
        }
    )
    for each in (found, endpoint, token_of("s3cret", "key"), faust_credentials(found.security)):
        assert "s3cret" not in f"{each} {each!r}"
    assert str(found) == "h:1"


def test_it_goes_to_the_processes_of_a_rebuild() -> None:
    found = kafka({"PULP_KAFKA": "h:1", **SCRAM})
    assert pickle.loads(pickle.dumps(found)) == found


def make_token() -> tuple[str, int]:
    return "made", FAR_FUTURE_S


def fail() -> str:
    raise RuntimeError("s3cret")


def wrong() -> int:
    return 3


def test_a_callback_makes_the_tokens_of_both_clients() -> None:
    security = read({**OAUTH, "PULP_KAFKA_OAUTH_CALLBACK": f"{__name__}:make_token"})
    assert client_settings(Kafka("h:1", security))["oauth_cb"]("") == ("made", FAR_FUTURE_S)


@pytest.mark.parametrize(("function", "said"), [("fail", "it raised RuntimeError"), ("wrong", "returned int")])
def test_a_callback_that_makes_no_token_is_named(function: str, said: str) -> None:
    security = read({**OAUTH, "PULP_KAFKA_OAUTH_CALLBACK": f"{__name__}:{function}"})
    assert security.tokens is not None
    with pytest.raises(SettingsError, match=said) as raised:
        security.tokens.fetch()
    assert "s3cret" not in str(raised.value)


async def test_a_token_file_is_read_for_each_connection(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(jwt(sub="jo", exp=FAR_FUTURE_S))
    found = Kafka("h:1", read({**OAUTH, "PULP_KAFKA_OAUTH_TOKEN_FILE": str(file)}))
    assert client_settings(found)["oauth_cb"]("") == (jwt(sub="jo", exp=FAR_FUTURE_S), FAR_FUTURE_S)
    provider = aiokafka_settings(found)["sasl_oauth_token_provider"]
    file.write_text("renewed")
    assert await provider.token() == "renewed"
    file.write_text(jwt(exp=1))
    with pytest.raises(SettingsError, match="PULP_KAFKA_OAUTH_TOKEN_FILE: the token has expired"):
        await provider.token()


class _Endpoint(BaseHTTPRequestHandler):
    answers: list[tuple[int, bytes]]
    asked: list[tuple[str | None, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append((self.headers["Authorization"], body))
        status, content = self.answers.pop(0)
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[tuple[str, type[_Endpoint]]]:
    handler = type("Endpoint", (_Endpoint,), {"answers": [], "asked": []})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/token", handler
        server.shutdown()


def test_a_token_endpoint_is_asked_once_a_lifetime(endpoint: tuple[str, type[_Endpoint]]) -> None:
    url, handler = endpoint
    handler.answers.append((200, b'{"access_token": "from-afar", "expires_in": 3600}'))
    security = read(
        {
            **OAUTH,
            "PULP_KAFKA_OAUTH_TOKEN_URL": url,
            "PULP_KAFKA_OAUTH_CLIENT_ID": "pulp api",
            "PULP_KAFKA_OAUTH_CLIENT_SECRET": "s3:cret",
            "PULP_KAFKA_OAUTH_SCOPE": "kafka",
        }
    )
    assert security.tokens is not None
    assert {security.tokens.fetch().value for _ in range(3)} == {"from-afar"}
    assert handler.asked == [("Basic cHVscCthcGk6czMlM0FjcmV0", b"grant_type=client_credentials&scope=kafka")]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, b"s3cret"), "answered 401"),
        ((302, b""), "answered 302"),
        ((200, b"<html>s3cret"), "access_token in JSON"),
        ((200, b'{"access_token": 3}'), "access_token in JSON"),
        ((200, b"[]"), "access_token in JSON"),
    ],
)
def test_an_endpoint_without_a_token_is_named(
    answer: tuple[int, bytes], said: str, endpoint: tuple[str, type[_Endpoint]]
) -> None:
    url, handler = endpoint
    handler.answers.append(answer)
    env = {"PULP_KAFKA_OAUTH_CLIENT_ID": "c", "PULP_KAFKA_OAUTH_CLIENT_SECRET": "s3cret"}
    security = read({**OAUTH, **env, "PULP_KAFKA_OAUTH_TOKEN_URL": url})
    assert security.tokens is not None
    with pytest.raises(SettingsError, match=said) as raised:
        security.tokens.fetch()
    assert "s3cret" not in str(raised.value)


def test_a_local_stacks_kafka_gets_no_login_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    merged = environment({**SCRAM, "PATH": "/bin", "PULP_KAFKA": "far:1"}, {"PULP_KAFKA": "127.0.0.1:7"})
    assert merged == {"PATH": "/bin", "PULP_KAFKA": "127.0.0.1:7"}
    assert not set(KEYS) & merged.keys()
