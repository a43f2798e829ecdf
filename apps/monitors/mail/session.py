"""The SMTP dialogue (RFC 5321, as far as one who only receives needs it). Mail is never passed on."""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

from apps.monitors.mail.addresses import UnknownAddress, is_ours, mail_ping
from apps.monitors.mail.link import Gone, LineTooLong, Link
from apps.monitors.services.pings import PING_BODY_MOST, Answer, PingRequest

log = logging.getLogger(__name__)

#: Bytes of a message; announced, and the same as for a ping over HTTP.
MESSAGE_MOST = PING_BODY_MOST
#: Somebody who sends so much more of one message than that is cut off.
SWALLOWED_MOST = 10 * MESSAGE_MOST
RECIPIENTS_MOST = 20
FAULTS_MOST = 10
_END = b"\r\n.\r\n"
_PATH = re.compile(r"^<?(?:@[^:<>]*:)?(?P<local>\"[^\"]*\"|[^@<>\s]*)(?:@(?P<host>[^<>\s]+))?>?(?P<options>\s.*)?$")


class Backend(Protocol):
    """What a session needs of the listener."""

    domain: str
    command_s: float
    message_s: float

    def tls(self) -> ssl.SSLContext | None:
        """Return what STARTTLS uses; None where it is not offered."""

    def may_hold(self, count: int) -> bool:
        """Count bytes (less, where negative) of messages in memory; False where it would be too many."""

    async def find(self, ping: PingRequest) -> Answer | None:
        """Say whether the address is known; None where the database does not answer."""

    async def accept(self, pings: list[PingRequest], sender: str, raw: bytes) -> list[Answer] | None:
        """Store a message; None where that failed."""


@dataclass(slots=True)
class Envelope:
    """A message that is being announced."""

    sender: str
    pings: list[PingRequest] = field(default_factory=list)


class _End(Exception):  # noqa: N818
    """The dialogue is over."""


class Session:
    """One connection's dialogue."""

    def __init__(self, link: Link, backend: Backend) -> None:
        self.link, self.backend = link, backend
        self.envelope: Envelope | None = None
        self.idle_since = time.monotonic()
        self.is_idle = False
        self.has_ended = False
        self._faults = 0
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "EHLO": self._ehlo, "HELO": self._helo, "MAIL": self._mail, "RCPT": self._rcpt, "DATA": self._data,
            "RSET": self._rset, "NOOP": self._noop, "QUIT": self._quit, "VRFY": self._vrfy, "STARTTLS": self._starttls,
            "HELP": self._help,
        }  # fmt: skip

    async def run(self) -> None:
        """Talk until one of both ends it."""
        try:
            await self.say(f"220 {self.backend.domain} ESMTP Watchkeeper")
            while True:
                await self._command()
        except TimeoutError:
            await self._part("421 4.4.2 Nothing came for too long; good bye.")
        except LineTooLong:
            await self._part("500 5.5.2 This line is too long.")
        except (Gone, _End, OSError):
            pass
        finally:
            self.has_ended = True
            self.link.close()

    async def say(self, text: str) -> None:
        """Send one answer."""
        await self.link.write(text.encode("ascii", "replace") + b"\r\n", within_s=self.backend.command_s)

    async def _part(self, text: str) -> None:
        try:
            await self.link.write(text.encode() + b"\r\n", within_s=1)
        except (Gone, TimeoutError, OSError):
            self.link.abort()

    async def _fault(self, text: str) -> None:
        self._faults += 1
        if self._faults > FAULTS_MOST:
            await self._part("421 4.7.0 Too many faults; good bye.")
            raise _End
        await self.say(text)

    async def _command(self) -> None:
        self.is_idle, self.idle_since = True, time.monotonic()
        raw = await self.link.line(within_s=self.backend.command_s)
        self.is_idle = False
        if not raw.endswith(b"\r\n"):
            await self._fault("500 5.5.2 Lines end with CR LF.")
            return
        verb, _, rest = raw[:-2].decode("utf-8", "replace").partition(" ")
        command = self._commands.get(verb.upper())
        if command is None:
            await self._fault("502 5.5.1 This is no command here; mail is received, and nothing else.")
            return
        await command(rest.strip())

    # --- the commands --------------------------------------------------------------------------------------------

    async def _helo(self, rest: str) -> None:
        self.envelope = None
        await self.say(f"250 {self.backend.domain}")

    async def _ehlo(self, rest: str) -> None:
        self.envelope = None
        offers = [self.backend.domain, "PIPELINING", f"SIZE {MESSAGE_MOST}", "8BITMIME", "SMTPUTF8"]
        if self.backend.tls() is not None and not self.link.is_encrypted:
            offers.append("STARTTLS")
        offers.append("ENHANCEDSTATUSCODES")
        await self.say("\r\n".join([*(f"250-{offer}" for offer in offers[:-1]), f"250 {offers[-1]}"]))

    async def _starttls(self, rest: str) -> None:
        context = self.backend.tls()
        if context is None or self.link.is_encrypted:
            await self._fault("502 5.5.1 TLS is not offered now.")
            return
        self.envelope = None
        await self.link.encrypt(context, b"220 2.0.0 Go on.\r\n")

    async def _mail(self, rest: str) -> None:
        path = _PATH.match(rest[5:].strip()) if rest[:5].upper() == "FROM:" else None
        if path is None:
            await self._fault("501 5.5.4 Say MAIL FROM:<address>.")
            return
        for option in (path["options"] or "").upper().split():
            name, _, value = option.partition("=")
            if name == "SIZE" and (not value.isdigit() or len(value) > 18 or int(value) > MESSAGE_MOST):
                await self._fault(f"552 5.3.4 A message has at most {MESSAGE_MOST} bytes.")
                return
        host = f"@{path['host']}" if path["host"] else ""
        self.envelope = Envelope(sender=f"{path['local']}{host}")
        await self.say("250 2.1.0 Go on.")

    async def _rcpt(self, rest: str) -> None:
        path = _PATH.match(rest[3:].strip()) if rest[:3].upper() == "TO:" else None
        if self.envelope is None:
            await self._fault("503 5.5.1 MAIL FROM comes first.")
        elif path is None or not path["host"]:
            await self._fault("501 5.1.3 Say RCPT TO:<heartbeat@host>.")
        elif not is_ours(path["host"], self.backend.domain):
            await self._fault(f"550 5.7.1 Only mail for {self.backend.domain} is taken; nothing is passed on.")
        elif len(self.envelope.pings) >= RECIPIENTS_MOST:
            await self.say("452 4.5.3 Too many recipients; send the others in another message.")
        else:
            await self._find(path["local"], self.envelope)

    async def _find(self, local: str, envelope: Envelope) -> None:
        try:
            ping = mail_ping(local.strip('"'))
        except UnknownAddress as error:
            await self._fault(f"550 5.1.1 {error}.")
            return
        ping.remote_addr = self.link.address
        answer = await self.backend.find(ping)
        if answer is None:
            await self.say("451 4.3.0 The database does not answer; try again later.")
        elif answer.status == 200:
            envelope.pings.append(ping)
            await self.say("250 2.1.5 Go on.")
        elif answer.status == 409:
            await self._fault(f"550 5.1.4 {answer.detail}")
        elif answer.status == 429:
            await self._fault(f"450 4.7.1 Too many unknown addresses; wait {answer.retry_after_s} s.")
        else:
            await self._fault("550 5.1.1 no heartbeat has this address.")

    async def _data(self, rest: str) -> None:
        envelope = self.envelope
        if envelope is None or not envelope.pings:
            await self._fault("503 5.5.1 There is no recipient yet.")
            return
        await self.say("354 End with a line that holds a point alone.")
        self.envelope = None
        held = _Held(self.backend)
        try:
            async with asyncio.timeout(self.backend.message_s):
                fits = await self._receive(held)
            if held.is_refused:
                await self.say("452 4.3.1 Too much mail waits; try again later.")
                return
            if not fits:
                await self.say(f"552 5.3.4 A message has at most {MESSAGE_MOST} bytes.")
                return
            now = datetime.now(UTC)
            pings = [replace(ping, at=now) for ping in envelope.pings]
            answers = await self.backend.accept(pings, envelope.sender, held.message())
        finally:
            held.release()
        if answers is None:
            await self.say("451 4.3.0 The ping could not be stored; try again later.")
        elif any(answer.status in (200, 201) for answer in answers):
            await self.say("250 2.0.0 It is on disk.")
        else:  # deleted since it was announced
            await self.say("550 5.1.1 no heartbeat has this address.")

    async def _receive(self, held: "_Held") -> bool:
        """Read a message to its end; returns whether it is within the limit."""
        tail, seen = b"\r\n", 0
        while True:
            chunk = await self.link.chunk()
            window = tail + chunk
            end = window.find(_END)
            if end >= 0:
                last = end + len(_END) - len(tail)  # of the chunk
                self.link.put_back(chunk[last:])
                held.add(chunk[:last])
                return seen + last - 3 <= MESSAGE_MOST
            seen += len(chunk)
            if seen > SWALLOWED_MOST:
                await self._part(f"552 5.3.4 A message has at most {MESSAGE_MOST} bytes.")
                raise _End
            if seen > MESSAGE_MOST + len(_END):
                held.release()
            else:
                held.add(chunk)
            tail = window[-(len(_END) - 1) :]

    async def _rset(self, rest: str) -> None:
        self.envelope = None
        await self.say("250 2.0.0 Forgotten.")

    async def _noop(self, rest: str) -> None:
        await self.say("250 2.0.0 Fine.")

    async def _vrfy(self, rest: str) -> None:
        await self.say("252 2.5.0 Send it, and you will know.")

    async def _help(self, rest: str) -> None:
        await self.say("214 2.0.0 Mail to the address of a heartbeat is its ping.")

    async def _quit(self, rest: str) -> None:
        await self.say("221 2.0.0 Good bye.")
        raise _End


class _Held:
    """A message in memory, within what all of them may take together."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._data = bytearray()
        self._is_released = False
        self.is_refused = False

    def add(self, chunk: bytes) -> None:
        if self._is_released:
            return
        if not self._backend.may_hold(len(chunk)):
            self.release()
            self.is_refused = True
            return
        self._data += chunk

    def message(self) -> bytes:
        """Return the message without its end and without doubled points."""
        text = bytes(self._data[: -len(_END) + 2])
        return (b"\r\n" + text).replace(b"\r\n..", b"\r\n.")[2:]

    def release(self) -> None:
        """Drop what is held; what comes now is swallowed."""
        self._is_released = True
        if self._data:
            self._backend.may_hold(-len(self._data))
            self._data = bytearray()
