"""An OpenID Connect issuer on the loopback, whose keys and answers a test chooses."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE: Final = "pulp"


class Key:
    """A signing key, with its id."""

    def __init__(self, key_id: str, algorithm: str = "RS256") -> None:
        self.key_id, self.algorithm = key_id, algorithm
        self.private: Any = (
            ec.generate_private_key(ec.SECP256R1())
            if algorithm.startswith("ES")
            else rsa.generate_private_key(public_exponent=65537, key_size=2048)
        )

    @property
    def public(self) -> dict[str, Any]:
        """The public key as a JWK."""
        made = jwt.get_algorithm_by_name(self.algorithm)
        return {**made.to_jwk(self.private.public_key(), as_dict=True), "kid": self.key_id, "use": "sig"}


class Issuer:
    """The issuer's answers, and the requests that it got."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = [Key("one")]
        self.asked: list[str] = []
        self.answers: dict[str, bytes] = {}
        """Path → the answer in place of the usual one."""
        self.is_away = False

    def answer(self, path: str) -> bytes | None:
        self.asked.append(path)
        if self.is_away:
            return None
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        return json.dumps({"keys": [key.public for key in self.keys]}).encode()

    def token(self, *, key: Key | None = None, headers: dict[str, Any] | None = None, **changed: Any) -> str:
        """A token of the user jo with the role of a submitter, which lasts for a minute; None removes a claim or header."""
        now = int(time.time())
        usual = {"iss": self.url, "aud": AUDIENCE, "sub": "jo", "iat": now, "exp": now + 60, "roles": ["pulp-users"]}
        claims = {name: value for name, value in (usual | changed).items() if value is not None}
        signing = key or self.keys[0]
        sent = {"kid": signing.key_id, **(headers or {})}
        headers = {name: value for name, value in sent.items() if value is not None}
        return jwt.encode(claims, signing.private, signing.algorithm, headers)


@contextmanager
def issuer() -> Iterator[Issuer]:
    """A running issuer."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = made.answer(self.path)
            self.send_response(503 if body is None else 200)
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made = Issuer(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
