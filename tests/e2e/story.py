"""The main story, played against any running layout:
a site and a cron job are added, broken, told about, mended, told again.
"""

import contextlib
import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.support.processes import free_port, wait_for
from tests.support.servers import RecordingReceiver

#: Lets webhooks reach the receiver of the test.
ENVIRONMENT = {"OUTBOUND_ALLOW": "127.0.0.0/8"}
PATIENCE_S = 90


class Target:
    """A site on a fixed port that can be taken down and brought back."""

    def __init__(self) -> None:
        self.port = free_port()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Return the site's address."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Bring the site up."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """Take the site down."""
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


class Api:
    """The REST API with a token; calls are repeated while the web process is away."""

    def __init__(self, port: int, username: str, password: str) -> None:
        self.port, self.username, self.password = port, username, password
        self.token = ""

    def call(self, method: str, path: str, body: Any = None, *, idempotency_key: str = "") -> Any:
        """Return the JSON answer; logs in anew where the token has expired."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                if not self.token and path != "/api/v1/auth/login":
                    self.token = self.call(
                        "POST", "/api/v1/auth/login", {"username": self.username, "password": self.password}
                    )["access"]
                request = urllib.request.Request(
                    f"http://127.0.0.1:{self.port}{path}",
                    method=method,
                    data=None if body is None else json.dumps(body).encode(),
                    headers={"Content-Type": "application/json"},
                )
                if self.token:
                    request.add_header("Authorization", f"Bearer {self.token}")
                if idempotency_key:
                    request.add_header("Idempotency-Key", idempotency_key)
                with urllib.request.urlopen(request, timeout=30) as answer:
                    content = answer.read()
                    return json.loads(content) if content else None
            except urllib.error.HTTPError as error:
                text = error.read().decode(errors="replace")
                if error.code != 429 and error.code < 500:
                    raise AssertionError(f"{method} {path}: {error.code} {text[:500]}") from error
            except (OSError, ValueError):
                pass
            assert time.monotonic() < deadline, f"{method} {path} was not answered"
            time.sleep(0.3)


class Listener:
    """A follower of `/ws` that resumes after every break, as a dashboard does."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.events: list[dict[str, Any]] = []
        self.was_reset = False
        self._over = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(PATIENCE_S), "the socket never opened"
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        last: int | None = None
        while not self._over.is_set():
            try:
                with connect(
                    f"ws://127.0.0.1:{self.api.port}/ws?token={self.api.token}", open_timeout=5, close_timeout=1
                ) as socket:
                    socket.send(json.dumps({"type": "subscribe", "events": ["alert.*", "notification"]}))
                    if last is not None:
                        socket.send(json.dumps({"type": "resume", "after": last}))
                    while not self._over.is_set():
                        with contextlib.suppress(TimeoutError):
                            message = json.loads(socket.recv(0.3))
                            if message["type"] == "event" and message["id"] is not None:
                                last = message["id"]
                                self.events.append(message)
                            elif message["type"] == "ready" and last is None:
                                last = message["data"]["id"]
                            elif message["type"] == "subscribed":
                                self._ready.set()
                            elif message["type"] == "reset":
                                self.was_reset = True
            except (ConnectionClosed, OSError, TimeoutError, EOFError):
                time.sleep(0.3)
            except Exception as error:  # a refused upgrade while the server starts
                if "HTTP" not in str(error) and "handshake" not in str(error).lower():
                    raise
                time.sleep(0.3)

    def names(self, subject_id: str) -> list[str]:
        """Return the alert events about one monitor, in the order in which they came."""
        return [
            event["event"]
            for event in self.events
            if event["data"].get("subject_id") == subject_id and event["event"].startswith("alert.")
        ]


class Story:
    """One playing of the story; `break_site` and `mend_site` wait until everybody was told."""

    def __init__(self, port: int, username: str, password: str, *, other_ports: tuple[int, ...] = ()) -> None:
        self.api = Api(port, username, password)
        self.key = secrets.token_hex(4)  # a call that is repeated because its answer was lost makes one thing
        self.target = Target()
        self.receiver = RecordingReceiver()
        self.other_ports = other_ports
        self.endpoint: dict[str, Any] = {}
        self.heartbeat: dict[str, Any] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[Self]:
        """Start the site and the receiver; end both."""
        with self.receiver:
            self.target.start()
            try:
                yield self
            finally:
                self.target.stop()

    def set_up(self) -> None:
        """Add the webhook, the site and the cron job, and wait for the site's first good check."""
        self.webhook = self.api.call(
            "POST",
            "/api/v1/webhooks",
            {"url": f"{self.receiver.url}/hook", "events": ["alert.*"]},
            idempotency_key=f"hook {self.key}",
        )
        self.endpoint = self.api.call(
            "POST",
            "/api/v1/endpoints",
            {
                "name": f"shop {self.key}",
                "endpoint_type": "http",
                "target": self.target.url,
                "interval": 5,
                "timeout": 2,
            },
            idempotency_key=f"shop {self.key}",
        )
        self.heartbeat = self.api.call(
            "POST",
            "/api/v1/heartbeats",
            {"name": "backup", "interval_seconds": 3600, "grace_seconds": 60},
            idempotency_key=f"backup {self.key}",
        )
        self.wait_status("up")

    def wait_status(self, status: str) -> None:
        """Wait until the API says so of the site."""
        wait_for(
            lambda: self.api.call("GET", f"/api/v1/endpoints/{self.endpoint['id']}")["status"] == status,
            what=f"the site is {status}",
            patience_s=PATIENCE_S,
        )

    # --- what was told -------------------------------------------------------------------------------------------

    def received(self) -> list[dict[str, Any]]:
        """Return the webhook's messages about the site, in order of arrival, repeats included."""
        found = []
        for request in list(self.receiver.requests):
            body = json.loads(request.body)
            if body["data"].get("subject_id") == self.endpoint["id"]:
                found.append(
                    {
                        "id": {name.lower(): value for name, value in request.headers.items()}["webhook-id"],
                        "type": body["type"],
                        "alert": body["data"]["alert_id"],
                    }
                )
        return found

    def received_once(self) -> list[tuple[str, str]]:
        """Return (alert, type) of each message at its first arrival."""
        seen: dict[str, tuple[str, str]] = {}
        for message in self.received():
            seen.setdefault(message["id"], (message["alert"], message["type"]))
        return list(seen.values())

    def alerts(self) -> list[dict[str, Any]]:
        """Return the site's alerts, oldest first."""
        rows = self.api.call("GET", "/api/v1/alerts?type=availability&limit=500")["alerts"]
        return [row for row in reversed(rows) if row["subject_id"] == self.endpoint["id"]]

    def wait_told(self, alert_id: str, kind: str) -> None:
        """Wait until the webhook's receiver has heard `kind` of the alert."""
        wait_for(
            lambda: (alert_id, kind) in self.received_once(), what=f"the receiver hears {kind}", patience_s=PATIENCE_S
        )

    def break_site(self) -> str:
        """Take the site down; wait for the alert, the webhook and the inbox. Returns the alert's id."""
        known = {row["id"] for row in self.alerts()}
        self.target.stop()
        return self.wait_broken(known)

    def wait_broken(self, known: set[str]) -> str:
        """Wait until everybody was told of an alert that is not among the `known` ones. Returns its id."""
        self.wait_status("down")
        alert = wait_for(
            lambda: next((row for row in self.alerts() if row["id"] not in known and row["status"] == "active"), None),
            what="an alert opens",
            patience_s=PATIENCE_S,
        )
        self.wait_told(alert["id"], "alert.opened")
        wait_for(
            lambda: any(
                self.endpoint["name"] in row["message"] + row["title"]
                for row in self.api.call("GET", "/api/v1/notifications?unread=true")["results"]
            ),
            what="the inbox says so",
            patience_s=PATIENCE_S,
        )
        return str(alert["id"])

    def mend_site(self, alert_id: str) -> None:
        """Bring the site back; wait until the alert is resolved and the receiver was told."""
        self.target.start()
        self.wait_status("up")
        wait_for(
            lambda: next(row for row in self.alerts() if row["id"] == alert_id)["status"] == "resolved",
            what="the alert is resolved",
            patience_s=PATIENCE_S,
        )
        self.wait_told(alert_id, "alert.resolved")

    def ping(self, suffix: str = "") -> bool:
        """Send a ping; True where it was accepted."""
        path = f"/ping/{self.heartbeat['uuid']}{suffix}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.api.port}{path}", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def assert_told_in_order(self) -> None:
        """Every alert was told as opened, then as resolved where it is; a repeat carries its first id."""
        whole = ["alert.opened", "alert.resolved"]
        for alert in self.alerts():
            # A slow machine may have made one more alert a moment ago.
            expected = whole if alert["status"] == "resolved" else whole[:1]
            self.wait_told(alert["id"], expected[-1])
            kinds = [kind for identifier, kind in self.received_once() if identifier == alert["id"]]
            assert kinds in (expected, whole), (alert["id"], kinds)
