"""Real agent programs, and the agents' socket served to them on a real port. For tests of both ends together."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives import serialization
from django.core.asgi import get_asgi_application

from agent import bundle
from apps.agents.link.switchboard import switchboard
from apps.core.asgi import SocketProtocol
from apps.core.asgi.types import Message, Receive, Scope, Send
from apps.realtime.routing import sockets
from tests.factories.agents import Host
from tests.support.processes import free_port, wait_for

#: What runs the program; hosts have older ones.
PYTHON = os.environ.get("AGENT_PYTHON", sys.executable)
_http = get_asgi_application()


class AgentProgram:
    """The program that machines download, as a process of its own on a state folder of its own.

    Args:
        hostname: of the host that it is to run on, a namespace of its own; "" for this one. Needs root.
    """

    def __init__(self, folder: Path, text: str = "", *, hostname: str = "") -> None:
        self.folder = folder
        self._inside = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', hostname] if hostname else []
        self.log = folder.with_name(f"{folder.name}.log")
        self.path = folder.with_name(f"{folder.name}.py")
        self.path.write_text(text or bundle.text())
        self._process: subprocess.Popen[bytes] | None = None

    def admit(self, host: Host, url: str, **settings: Any) -> "AgentProgram":
        """Give it the key and certificate of a host, as an enrolment does."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        pem = host.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / "key.pem").write_bytes(pem)
        (self.folder / "certificate.pem").write_text(host.certificate)
        (self.folder / "agent.json").write_text(json.dumps({"url": url, **settings}))
        return self

    def command(self, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run one of its commands to its end."""
        return subprocess.run(
            [*self._inside, PYTHON, str(self.path), "--state", str(self.folder), *arguments],
            input=stdin, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def start(self, *, env: dict[str, str] | None = None) -> "AgentProgram":
        """Start it; it goes on by itself."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*self._inside, PYTHON, str(self.path), "--state", str(self.folder), "run"],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env={**os.environ, **(env or {})},
            )  # fmt: skip
        return self

    @property
    def pid(self) -> int:
        """Return its pid."""
        assert self._process is not None
        return self._process.pid

    def said(self) -> str:
        """Return what it has printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill9(self) -> None:
        """Kill it as the kernel does when memory runs out."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> int:
        """End it as a service manager does; returns its exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(15)

    def __enter__(self) -> "AgentProgram":
        return self if self._process is not None else self.start()

    def __exit__(self, *error: object) -> None:
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.stop()
            if self._process.poll() is None:
                self.kill9()


class ServedSockets:
    """The sockets of this process on a port, the API beside them. May be stopped and started again."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> "ServedSockets":
        """Serve."""
        config = uvicorn.Config(
            _application, host="127.0.0.1", port=self.port, ws=SocketProtocol, lifespan="on", log_level="critical",
            ws_per_message_deflate=False, timeout_graceful_shutdown=3,
        )  # fmt: skip
        server = self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=server.run, daemon=True)
        self._thread.start()
        wait_for(lambda: server.started, what="the sockets", patience_s=20)
        return self

    def stop(self) -> None:
        """Stop serving; all connections end."""
        assert self._server is not None and self._thread is not None
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    def cut(self) -> None:
        """Cut every connection without a word, as a network does that fails."""
        loop, ones = switchboard._loop, list(switchboard.connections.values())
        assert loop is not None
        for one in ones:
            loop.call_soon_threadsafe(one.cut, 1012, "cut by a test")


async def _application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await _http(scope, receive, send)  # type: ignore[arg-type]
        return
    if scope["type"] != "lifespan":
        await sockets(scope, receive, send)  # type: ignore[arg-type]
        return
    while True:
        message: Message = await receive()
        if message["type"] == "lifespan.shutdown":
            await switchboard.stop()
            await asyncio.sleep(0.05)
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


@contextlib.contextmanager
def served_sockets() -> Iterator[ServedSockets]:
    """Serve the sockets while the block runs."""
    served = ServedSockets().start()
    try:
        yield served
    finally:
        served.stop()
