"""A receiver of webhooks that prints the events: a beginning for one of your own.

    pulp-admin subscriptions create mine http://127.0.0.1:8099/ --since beginning > secret
    python examples/webhook_receiver.py secret --events 1   # and without --events for ever

It needs `standardwebhooks` (pip install standardwebhooks) and nothing else.
"""

import argparse
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

from standardwebhooks import Webhook, WebhookVerificationError


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 once it has the event; the sender repeats it after any other answer, or none."""

    secret: ClassVar[str]
    taken: ClassVar[int] = 0

    def do_POST(self) -> None:
        """One event."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            event = Webhook(self.secret).verify(body, dict(self.headers.items()))
        except WebhookVerificationError:
            self.send_response(401)  # somebody else has sent it
        else:
            print(event["type"], event["subject"], flush=True)
            self.send_response(204)
            Receiver.taken += 1
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """It prints events alone."""


def main(arguments: list[str]) -> None:
    """Receive until there were enough."""
    parser = argparse.ArgumentParser(description="Print the events that a subscription delivers.")
    parser.add_argument("secret", type=Path, help="the file with what `subscriptions create` has printed")
    parser.add_argument("--port", type=int, default=8099)
    parser.add_argument("--events", type=int, help="stop after so many")
    options = parser.parse_args(arguments)
    Receiver.secret = options.secret.read_text().strip()
    with HTTPServer(("127.0.0.1", options.port), Receiver) as server:
        while options.events is None or Receiver.taken < options.events:
            server.handle_request()


if __name__ == "__main__":
    main(sys.argv[1:])
