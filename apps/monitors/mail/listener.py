"""The server: who may connect, how many, TLS, the way into the database, and the note that it is there."""

import asyncio
import contextlib
import logging
import signal
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from django.db import Error as DatabaseError
from django.db import connection

from apps.accounts.addresses import parse_address
from apps.core import leases, registries
from apps.core.pulse import NOTE_S
from apps.monitors.mail.link import Link
from apps.monitors.mail.messages import read_mail
from apps.monitors.mail.session import Session
from apps.monitors.services.mail_pings import LISTENING, accept_mail, find_mail_address
from apps.monitors.services.pings import Answer, PingRequest

log = logging.getLogger(__name__)

Found = TypeVar("Found")
CONNECTIONS_MOST = 200
CONNECTIONS_OF_ONE_MOST = 20
#: Where all places are taken, whoever has said nothing for so long makes room.
IDLE_S = 5.0
#: Bytes of messages that are held in memory, all together.
HELD_MOST = 32 * 1024 * 1024
STOP_S = 5.0
#: Two, so that an address is looked up while a message waits for the disk.
THREADS = 2


class Certificate:
    """The key pair of STARTTLS; a renewed one is taken without a restart."""

    def __init__(self, cert: str, key: str) -> None:
        """Load the pair.

        Raises:
            OSError: it can't be read, or is none (ssl.SSLError).
        """
        self._cert, self._key = Path(cert), Path(key)
        self._seen = self._stamp()
        self._context = self._load()

    def context(self) -> ssl.SSLContext:
        """Return the newest pair that could be loaded."""
        with contextlib.suppress(OSError):  # gone for the moment of its renewal
            stamp = self._stamp()
            if stamp != self._seen:
                self._seen = stamp
                try:
                    self._context = self._load()
                except OSError as error:
                    log.error("the new certificate of the mail listener can't be used: %s", error)
        return self._context

    def _stamp(self) -> tuple[int, int]:
        return self._cert.stat().st_mtime_ns, self._key.stat().st_mtime_ns

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._cert, self._key)
        return context


class Listener:
    """Takes mail until it is told to stop; see the module."""

    command_s = 60.0
    message_s = 300.0

    def __init__(self, *, host: str, port: int, domain: str, certificate: Certificate | None = None) -> None:
        """Bind nothing yet.

        Args:
            port: 0 takes a free one; `port` says which once it listens.
            domain: the host part of the addresses.
        """
        self.host, self.port, self.domain = host, port, domain
        self._certificate = certificate
        self._held = 0
        self._by_address: Counter[str] = Counter()
        self._sessions: dict[Session, asyncio.Task[None]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="mail")
        self._server: asyncio.Server | None = None
        self._note: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address is taken, or not this machine's.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Link(self._connected, self._ended), self.host, self.port, backlog=256
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._note = loop.create_task(self._note_listening())

    async def stop(self) -> None:
        """Take nobody new, let messages that are being stored be stored, hang up on the rest."""
        if self._server is not None:
            self._server.close()
        if self._note is not None:
            self._note.cancel()
        for session in list(self._sessions):
            if session.is_idle:
                self._dismiss(session, b"421 4.3.2 The listener stops; come again.\r\n")
        working = list(self._sessions.values())
        if working:
            _, late = await asyncio.wait(working, timeout=STOP_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(None, self._hang_up)

    def _hang_up(self) -> None:
        # Each thread closes the connection that is its own; they wait for each other, so that none does it twice.
        meeting = threading.Barrier(THREADS)

        def close() -> None:
            connection.close()
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(1)

        for _ in range(THREADS):
            self._threads.submit(close)
        self._threads.shutdown()

    async def serve(self) -> None:
        """Listen until SIGTERM or SIGINT."""
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        await self.start()
        log.info("mail for heartbeats is taken on %s port %d", self.host, self.port)
        await stopping.wait()
        await self.stop()

    # --- connections ---------------------------------------------------------------------------------------------

    def _connected(self, link: Link) -> None:
        address = parse_address(link.address)
        link.address = str(address) if address is not None else link.address
        self._by_address[link.address] += 1
        if self._by_address[link.address] > CONNECTIONS_OF_ONE_MOST or not self._has_room():
            link.refuse(b"421 4.7.0 Too many connections; try again later.\r\n")
            return
        session = Session(link, self)
        task = asyncio.get_running_loop().create_task(self._talk(session, link))
        self._sessions[session] = task
        task.add_done_callback(lambda _: self._sessions.pop(session, None))

    def _ended(self, link: Link) -> None:
        self._by_address[link.address] -= 1
        if self._by_address[link.address] <= 0:
            del self._by_address[link.address]

    def _has_room(self) -> bool:
        if len(self._sessions) < CONNECTIONS_MOST:
            return True
        idle = [session for session in self._sessions if session.is_idle]
        longest = min(idle, key=lambda session: session.idle_since, default=None)
        if longest is None or time.monotonic() - longest.idle_since < IDLE_S:
            return False
        self._dismiss(longest, b"421 4.4.2 Others need this place; come again.\r\n")
        return True

    def _dismiss(self, session: Session, words: bytes) -> None:
        session.link.refuse(words)
        task = self._sessions.pop(session, None)
        if task is not None:
            task.cancel()

    async def _talk(self, session: Session, link: Link) -> None:
        try:
            if not await self._in_thread(lambda: _may_speak(link.address)):
                link.refuse(b"554 5.7.1 This address is not allowed.\r\n")
                return
            await session.run()
        except Exception:
            log.exception("a mail session failed")
            link.abort()

    # --- what a session needs ------------------------------------------------------------------------------------

    def tls(self) -> ssl.SSLContext | None:
        """Return what STARTTLS uses; None where it is not offered."""
        return self._certificate.context() if self._certificate is not None else None

    def may_hold(self, count: int) -> bool:
        """Count bytes (less, where negative) of messages in memory; False where it would be too many."""
        if count > 0 and self._held + count > HELD_MOST:
            return False
        self._held += count
        return True

    async def find(self, ping: PingRequest) -> Answer | None:
        """Say whether the address is known; None where the database does not answer."""
        return await self._asked(lambda: find_mail_address(ping))

    async def accept(self, pings: list[PingRequest], sender: str, raw: bytes) -> list[Answer] | None:
        """Store a message; None where that failed: nothing of it is kept then."""

        def store() -> list[Answer]:
            mail = read_mail(raw, sender)
            return accept_mail(pings, sender=mail.sender, body=mail.body, source=mail.source)

        return await self._asked(store)

    async def _asked(self, work: Callable[[], Found]) -> Found | None:
        try:
            return await self._in_thread(lambda: self._twice(work))
        except Exception:
            log.exception("the database could not be asked for a mail")
            return None

    @staticmethod
    def _twice(work: Callable[[], Found]) -> Found:
        try:
            return work()
        except DatabaseError:  # a connection that has died since its last use; the next try gets a fresh one
            connection.close()
            return work()

    async def _in_thread(self, work: Callable[[], Found]) -> Found:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _note_listening(self) -> None:
        while True:
            try:
                await self._in_thread(lambda: leases.note_run([LISTENING]))
            except Exception as error:
                log.error("the mail listener could not note that it is there: %s", error)
                with contextlib.suppress(Exception):
                    await self._in_thread(connection.close)
            await asyncio.sleep(NOTE_S)


def _may_speak(address: str) -> bool:
    try:
        return all(gate(address) for _, gate in registries.address_gates.items())
    except Exception:
        log.exception("the IP rules can't be read")
        connection.close()
        return True  # as over HTTP: a storage fault must not lock everybody out; addresses still count
