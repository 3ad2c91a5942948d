"""A receiver of webhooks that posts to a chat when a sync fails. It uses the standard library and `standardwebhooks`.

    pulp-admin subscriptions create failures http://RECEIVER:8099/ --type finished --operation sync > secret
    WEBHOOK_SECRET=$(cat secret) CHAT_URL=https://chat.example.org/hooks/... python examples/chat_on_failure.py

`CHAT_URL` is an incoming webhook of a chat that takes `{"text": "..."}`, as Mattermost, Slack and Rocket.Chat do.
"""

import json
import os
import urllib.request
from collections import OrderedDict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

FINISHED = "org.pulpproject.task.finished.v1"
REMEMBERED = 10_000


class Receiver(BaseHTTPRequestHandler):
    """Answers 204 once the chat has the message; any other answer makes Pulp Tasks send the event again."""

    secret: str
    chat_url: str
    seen: OrderedDict[str, None]
    """Ids of events that were handled: one may come twice."""

    def do_POST(self) -> None:
        """One event."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            event = Webhook(self.secret).verify(body, dict(self.headers.items()))
        except WebhookVerificationError:
            self._answer(401)
            return
        try:
            if event["id"] not in self.seen:
                self._handle(event)
        except OSError as error:
            self.log_error("the chat did not take it: %s", error)
            self._answer(503)
            return
        self.seen[event["id"]] = None
        while len(self.seen) > REMEMBERED:
            self.seen.popitem(last=False)
        self._answer(204)

    def _handle(self, event: dict[str, Any]) -> None:
        if event["type"] != FINISHED or event["data"]["outcome"] != "failed":
            return
        error = event["data"].get("error") or {}
        text = f"Sync {event['subject']} failed: {error.get('description', 'no reason given')}"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.chat_url, json.dumps({"text": text}).encode(), headers)
        with urllib.request.urlopen(request, timeout=10):
            pass

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()


def serve(secret: str, chat_url: str, port: int = 8099) -> ThreadingHTTPServer:
    """The server, bound to the port; call `serve_forever`."""
    handler = type("BoundReceiver", (Receiver,), {"secret": secret, "chat_url": chat_url, "seen": OrderedDict()})
    return ThreadingHTTPServer(("127.0.0.1", port), handler)


if __name__ == "__main__":
    serve(os.environ["WEBHOOK_SECRET"], os.environ["CHAT_URL"], int(os.environ.get("PORT", "8099"))).serve_forever()
