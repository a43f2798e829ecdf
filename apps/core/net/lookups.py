"""Name lookups in threads of their own, so that a DNS server that hangs delays nobody else."""

import queue
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

FAST_THREADS = 32
SLOW_THREADS = 8
SLOW_AFTER_S = 1.0
_SLOW_NAMES = 2048

AddrInfo = list[tuple[Any, ...]]


class Lookup:
    """One lookup that any number of callers wait for."""

    __slots__ = ("call", "future", "key", "started_at", "waiters")

    def __init__(self, key: tuple[str, int], call: Callable[[], Any]) -> None:
        self.key = key
        self.call = call
        self.future: Future[Any] = Future()
        self.waiters = 1
        self.started_at = 0.0


class _Lane:
    """Up to `limit` daemon threads, started when needed.

    Not a ThreadPoolExecutor: that one joins its threads when the interpreter ends, and a resolver can hang for longer
    than a process may take to stop.
    """

    def __init__(self, name: str, limit: int, work: Callable[[Lookup], None]) -> None:
        self._name, self._limit, self._work = name, limit, work
        self._queue: queue.SimpleQueue[Lookup] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def put(self, lookup: Lookup) -> None:
        with self._lock:
            if self._idle:
                self._idle -= 1
            elif self._threads < self._limit:
                self._threads += 1
                threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()
            self._queue.put(lookup)

    def _run(self) -> None:
        while True:
            self._work(self._queue.get())
            with self._lock:
                # With something queued this thread takes it at once. Counting too few idle threads is harmless: at
                # worst one more is started, up to the limit.
                if self._queue.empty():
                    self._idle += 1


class Lookups:
    """Runs `getaddrinfo` once per name at a time; a name that was slow last time waits in a lane for slow names."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], Lookup] = {}
        self._slow: OrderedDict[tuple[str, int], None] = OrderedDict()
        self._fast_lane = _Lane("dns", FAST_THREADS, self._perform)
        self._slow_lane = _Lane("dns-slow", SLOW_THREADS, self._perform)

    def join(self, host: str, family: int) -> Lookup:
        """Return the lookup of a name: the running one, else a new one. Call `leave` when done waiting."""
        key = (host, family)
        with self._lock:
            lookup = self._running.get(key)
            if lookup is not None:
                lookup.waiters += 1
                return lookup
            lookup = Lookup(key, lambda: socket.getaddrinfo(host, None, family=family, type=socket.SOCK_STREAM))
            self._running[key] = lookup
            lane = self._slow_lane if key in self._slow else self._fast_lane
        lane.put(lookup)
        return lookup

    def submit(self, name: str, call: Callable[[], Any]) -> Lookup:
        """Run another blocking call of the resolver kind; calls with one name are run once at a time."""
        key = (name, -1)
        with self._lock:
            lookup = self._running.get(key)
            if lookup is not None:
                lookup.waiters += 1
                return lookup
            lookup = self._running[key] = Lookup(key, call)
        self._fast_lane.put(lookup)
        return lookup

    def leave(self, lookup: Lookup) -> None:
        """Say that a caller waits no longer. A lookup that nobody waits for is not begun."""
        with self._lock:
            lookup.waiters -= 1
            if not lookup.waiters and not lookup.started_at:
                self._running.pop(lookup.key, None)
            elif not lookup.future.done() and time.monotonic() - lookup.started_at > SLOW_AFTER_S:
                self._mark_slow(lookup.key)

    def _perform(self, lookup: Lookup) -> None:
        with self._lock:
            if not lookup.waiters:
                if self._running.get(lookup.key) is lookup:
                    del self._running[lookup.key]
                lookup.future.cancel()
                return
            lookup.started_at = time.monotonic()
        result: Any = None
        problem: BaseException | None = None
        try:
            result = lookup.call()
        except Exception as error:  # handed to the waiters, whatever it is
            problem = error
        with self._lock:
            self._running.pop(lookup.key, None)
            if time.monotonic() - lookup.started_at > SLOW_AFTER_S:
                self._mark_slow(lookup.key)
            else:
                self._slow.pop(lookup.key, None)
        if problem is not None:
            lookup.future.set_exception(problem)
        else:
            lookup.future.set_result(result)

    def _mark_slow(self, key: tuple[str, int]) -> None:
        self._slow[key] = None
        self._slow.move_to_end(key)
        if len(self._slow) > _SLOW_NAMES:
            self._slow.popitem(last=False)


lookups = Lookups()
