"""`/ws/agent`: the socket of host agents. The key is proved inside, so any proxy may end the TLS.

Frames are JSON objects as text; docs/host-agents.md lists them.
"""

import asyncio
import base64
import binascii
import json
import logging
import os
import secrets
import time
from typing import Any
from uuid import UUID

from apps.agents.link import requests
from apps.agents.link.connection import (
    BAD_MESSAGE,
    FORBIDDEN,
    SILENT,
    UNAUTHENTICATED,
    Connection,
    RunOutput,
    now_iso,
)
from apps.agents.link.intake import Batch, intake
from apps.agents.link.settings import orders
from apps.agents.link.switchboard import switchboard
from apps.agents.models import HostAgent
from apps.agents.services import connected, disconnected, prove, renew
from apps.core import leases
from apps.core.asgi.types import Receive, Scope, Send
from apps.core.errors import DomainError
from apps.core.rows import storable
from apps.fleet.services.samples import MOST_A_PUSH

log = logging.getLogger(__name__)

PROTOCOL = 1
HELLO_S = 10.0
HELLO_MOST = 64 * 1024
FRAME_MOST = 1024 * 1024
UNPROVEN_MOST = 2000
BATCHES_MOST = 8  # of one agent, waiting for the disk
#: What the answer to a question may hold, by its kind: of a signal the process, of a container also its lines.
_ANSWERS = ("ok", "code", "message", "process", "container", "lines", "is_cut")
_SAID = ("version", "hostname", "os", "architecture")


class BadFrame(Exception):
    """What came is no frame of ours; the text says why."""


class AgentSocket:
    """One connection to `/ws/agent`."""

    unproven = 0

    def __init__(self, receive: Receive, send: Send) -> None:
        self.receive, self.send = receive, send
        self._batches = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Serve the connection to its end."""
        if (await self.receive())["type"] != "websocket.connect":
            return
        if AgentSocket.unproven >= UNPROVEN_MOST:
            await self.send({"type": "websocket.close", "code": 1013, "reason": "too many at once, come again"})
            return
        await self.send({"type": "websocket.accept"})
        AgentSocket.unproven += 1
        try:
            one = await self._meet()
        except BadFrame as error:
            await self._refuse(BAD_MESSAGE, "bad_message", str(error))
            return
        except TimeoutError:
            await self._refuse(SILENT, "silent", "No hello came within 10 s.")
            return
        except DomainError as error:
            await self._refuse(UNAUTHENTICATED if error.status == 401 else FORBIDDEN, error.code, error.detail)
            return
        except Exception:
            log.exception("an agent could not be met")
            await self._refuse(1011, "unavailable", "The platform has a fault; come again.")
            return
        finally:
            AgentSocket.unproven -= 1
        if one is not None:
            await self._serve(one)

    # --- meeting ---------------------------------------------------------------------------------------------------

    async def _meet(self) -> Connection | None:
        nonce = os.urandom(32)
        await self._say({"type": "challenge", "nonce": base64.b64encode(nonce).decode(), "server_time": now_iso()})
        text = await asyncio.wait_for(self._next(), HELLO_S)
        if text is None:
            return None
        hello = _frame(text, HELLO_MOST)
        if hello["type"] != "hello":
            raise BadFrame("Say hello first.")
        if hello.get("protocol") != PROTOCOL:
            raise BadFrame(f"The platform speaks protocol {PROTOCOL}; install the agent anew from it.")
        certificate = hello.get("certificate")
        if not isinstance(certificate, str):
            raise BadFrame("The certificate must be a text.")
        try:
            signature = base64.b64decode(hello.get("signature") or "", validate=True)
        except (binascii.Error, TypeError, ValueError):
            raise BadFrame("The signature is not base64.") from None
        token = secrets.token_hex(16)
        said = {name: str(hello.get(name) or "")[:300] for name in _SAID}

        def let_in() -> tuple[HostAgent, dict[str, Any], list[dict[str, Any]]]:
            agent = prove(certificate_pem=certificate, nonce=nonce, signature=signature)
            connected(agent=agent, owner=leases.owner(), token=token, said=said)
            return agent, orders(), requests.runs_of(agent.pk, token)

        agent, told, runs = await switchboard.in_thread(let_in)
        one = Connection(agent, token, self.send, told["interval"], told=told)
        for run in runs:
            here = run["bytes"]
            one.runs[UUID(run["id"])] = RunOutput(here, here, 0, here)
        welcome = {"type": "welcome", "agent_id": agent.slug, "server_time": now_iso(), "runs": runs, **told}
        one.tell(welcome)
        await switchboard.join(one)
        return one

    async def _next(self) -> str | None:
        while True:
            message = await self.receive()
            if message["type"] == "websocket.disconnect":
                return None
            if message["type"] == "websocket.receive":
                text = message.get("text")
                if text is None:
                    raise BadFrame("Send frames as text.")
                return str(text)

    # --- serving ---------------------------------------------------------------------------------------------------

    async def _serve(self, one: Connection) -> None:
        reader = asyncio.create_task(self._read(one))
        try:
            await one.write()
            if one.close_code and one.close_code != 1000:
                await self._close(one.close_code, one.close_reason)
        finally:
            one.close_code = one.close_code or 1000
            switchboard.leave(one)
            for task in (reader, *self._tasks):
                task.cancel()
            await asyncio.gather(reader, *self._tasks, return_exceptions=True)
            try:
                await switchboard.in_thread(lambda: disconnected(agent_id=one.agent.pk, token=one.token))
            except Exception:
                log.exception("the end of an agent's connection could not be noted")

    async def _read(self, one: Connection) -> None:
        try:
            while not one.close_code:
                text = await self._next()
                if text is None:
                    one.cut(1000, "")
                    return
                one.heard_at = time.monotonic()
                self._obey(one, _frame(text, FRAME_MOST), len(text))
        except (BadFrame, ValueError, KeyError, TypeError, AttributeError) as error:
            sentence = str(error) if isinstance(error, BadFrame) else f"The frame is malformed ({error})."
            one.tell({"type": "refused", "status": BAD_MESSAGE, "code": "bad_message", "message": sentence})
            one.cut(BAD_MESSAGE, sentence)
        except Exception:
            log.exception("a connection of %s ended by a fault", one.agent.pk)
            one.cut(1011, "The platform has a fault.")

    def _obey(self, one: Connection, frame: dict[str, Any], size: int) -> None:
        kind = frame["type"]
        if kind == "batch":
            if self._batches >= BATCHES_MOST:
                raise BadFrame("Too many batches wait; send the next when one is acknowledged.")
            self._batches += 1
            self._background(self._take_batch(one, frame, size))
        elif kind == "output":
            one.output(frame, switchboard.store)
        elif kind == "exit":
            ending = _storable({name: frame.get(name) for name in ("exit_code", "signal", "ended", "error", "bytes")})
            key = UUID(str(frame["id"]))
            if key in one.runs and int(ending["bytes"] or 0) > one.runs[key].received:
                ending["error"] = ending["error"] or "A part of its output was lost when the agent ended."
            switchboard.end(one, key, ending)
        elif kind == "result":
            answer = {name: frame[name] for name in _ANSWERS if name in frame}
            switchboard.end(one, UUID(str(frame["id"])), _storable(answer))
        elif kind == "renew":
            self._background(self._renew(one, str(frame["csr"])[:16_384]))
        else:
            raise BadFrame(f"There is no frame of type {str(kind)[:40]!r}.")

    def _background(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take_batch(self, one: Connection, frame: dict[str, Any], size: int) -> None:
        number = frame.get("n")
        samples, lines = frame.get("samples") or [], frame.get("logs") or []
        if type(number) is not int or not isinstance(samples, list) or not isinstance(lines, list):
            one.tell({"type": "refused", "status": BAD_MESSAGE, "code": "bad_message", "message": "This is no batch."})
            one.cut(BAD_MESSAGE, "This is no batch.")
            return
        # An agent speaks for its own server alone, whatever its lines say.
        lines = [
            {key: value for key, value in line.items() if key not in ("agent_id", "server_id")}
            if isinstance(line, dict)
            else line
            for line in lines
        ]
        batch = Batch(one.agent.pk, str(one.agent.server_id), one.agent.slug, samples[:MOST_A_PUSH], lines, size)
        try:
            taken = await intake.take(batch)
        finally:
            self._batches -= 1
        if taken.forbidden is not None:
            one.tell(
                {"type": "refused", "status": FORBIDDEN, "code": "agent_revoked", "message": taken.forbidden.detail}
            )
            one.cut(FORBIDDEN, taken.forbidden.detail)
        elif taken.again_after_s:
            one.tell({"type": "wait", "n": number, "s": taken.again_after_s})
        else:
            if samples:
                one.load = _load_of(samples[-1]) or one.load
            one.tell({"type": "ack", "n": number, "refused": taken.refused[:20], "server_time": now_iso()})

    async def _renew(self, one: Connection, csr: str) -> None:
        try:
            pem, authority = await switchboard.in_thread(lambda: renew(agent=one.agent, csr=csr))
        except DomainError as error:
            one.tell({"type": "error", "message": f"The certificate was not renewed: {error.detail}"})
        except Exception:
            log.exception("a certificate could not be renewed")
        else:
            one.tell({"type": "certificate", "pem": pem, "ca": authority})

    # --- ends ------------------------------------------------------------------------------------------------------

    async def _say(self, frame: dict[str, Any]) -> None:
        await self.send({"type": "websocket.send", "text": json.dumps(frame)})

    async def _refuse(self, status: int, code: str, message: str) -> None:
        try:
            await self._say({"type": "refused", "status": status, "code": code, "message": message})
        except (RuntimeError, OSError):
            return
        await self._close(status, message)

    async def _close(self, code: int, reason: str) -> None:
        try:
            await self.send({"type": "websocket.close", "code": code, "reason": reason[:100]})
        except (RuntimeError, OSError):
            log.debug("the agent went away first")


def _frame(text: str, most: int) -> dict[str, Any]:
    if len(text) > most:
        raise BadFrame(f"The frame has more than {most} characters.")
    try:
        frame = json.loads(text, parse_constant=lambda _: None)  # NaN and infinity are no JSON; no database takes them
    except (ValueError, RecursionError):
        raise BadFrame("The frame is no JSON.") from None
    if not isinstance(frame, dict) or not isinstance(frame.get("type"), str):
        raise BadFrame("A frame is an object with a type.")
    return frame


def _storable(value: Any) -> Any:
    """Return what an agent said without what no database takes; one bad text would keep all the others out."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(name): _storable(one) for name, one in value.items()}
    return [_storable(one) for one in value] if isinstance(value, list) else value


def _load_of(sample: Any) -> tuple[float | None, float | None, float | None] | None:
    try:
        memory, mounts = sample["memory"], sample["disk"]["mounts"]
        disk = max((100 * one["used"] / one["total"] for one in mounts if one["total"]), default=None)
        found = (sample["cpu"]["totalUsage"], 100 - 100 * memory["available"] / memory["total"], disk)
        return _percent(found[0]), _percent(found[1]), _percent(found[2])
    except (KeyError, TypeError, ZeroDivisionError):
        return None


def _percent(value: Any) -> float | None:
    return round(float(value), 1) if isinstance(value, int | float) and 0 <= value <= 100 else None


async def agent_socket(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve `/ws/agent`."""
    await AgentSocket(receive, send).run()
