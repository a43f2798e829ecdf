"""The runner of a worker: one asyncio loop for checks and deliveries, one bounded thread pool for blocking work.

A sweep claims rows and submits a coroutine a row; the loop runs up to `limit` of a lane at once, so one hanging target
delays nobody. Results are collected and written every 250 ms in one statement for whatever is done by then.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.db import close_old_connections

log = logging.getLogger(__name__)

FLUSH_S = 0.25
FLUSH_ROWS = 500


class Runner:
    """An event loop in a thread of its own. One a process; see `runner()`."""

    def __init__(self, threads: int = 16) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._lanes: dict[str, asyncio.Semaphore] = {}
        self._running: defaultdict[str, int] = defaultdict(int)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.pool = ThreadPoolExecutor(threads, thread_name_prefix="runner")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="runner-writer")
        self._results: defaultdict[Callable[[list[Any]], object], list[Any]] = defaultdict(list)
        self._flushing: asyncio.Task[None] | None = None

    # --- life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the loop's thread; a second call does nothing."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._main, name="runner", daemon=True)
        self._thread.start()
        self._ready.wait(10)

    def _main(self) -> None:
        import uvloop

        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        self._loop = loop
        loop.call_soon(self._ready.set)
        loop.run_forever()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Cancel what runs, write what is done, end the loop."""
        loop = self._loop
        if loop is None:
            return
        done = threading.Event()

        async def wind_up() -> None:
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(list(self._tasks), timeout=timeout_s)
            await self._flush()
            done.set()

        asyncio.run_coroutine_threadsafe(wind_up(), loop)
        done.wait(timeout_s + 2)
        loop.call_soon_threadsafe(loop.stop)
        if self._thread:
            self._thread.join(2)
        self._loop = self._thread = None

    # --- work ----------------------------------------------------------------------------------------------------

    def free(self, lane: str, limit: int) -> int:
        """Return how many more jobs the lane takes now; a sweep claims no more rows than that."""
        return max(0, limit - self._running[lane])

    def submit(self, lane: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run `work()` in the loop; from any thread. Bound the lane with `free` before you claim."""
        self.start()
        assert self._loop is not None
        self._running[lane] += 1
        self._loop.call_soon_threadsafe(self._spawn, lane, work)

    def _spawn(self, lane: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(lane, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, lane: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            await work()
        except asyncio.CancelledError:
            pass
        except Exception:
            log.exception("a job of lane %s failed", lane)
        finally:
            self._running[lane] -= 1

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run blocking `function` in the bounded pool, its database connection closed afterwards."""

        def call() -> Any:
            close_old_connections()
            try:
                return function(*args)
            finally:
                close_old_connections()

        return await asyncio.get_running_loop().run_in_executor(self.pool, call)

    # --- results -------------------------------------------------------------------------------------------------

    def store(self, write: Callable[[list[Any]], object], result: Any) -> None:
        """Collect `result`; `write(results)` is called in the writer's thread within 250 ms. Call it from the loop."""
        self._results[write].append(result)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush_later())

    async def _flush_later(self) -> None:
        await asyncio.sleep(FLUSH_S)
        while self._results:
            await self._flush()

    async def _flush(self) -> None:
        batches, self._results = self._results, defaultdict(list)
        for write, results in batches.items():
            for start in range(0, len(results), FLUSH_ROWS):
                await asyncio.get_running_loop().run_in_executor(
                    self._writer, self._write, write, results[start : start + FLUSH_ROWS]
                )

    @staticmethod
    def _write(write: Callable[[list[Any]], object], results: list[Any]) -> None:
        # A storage error is ours: it is tried again and never counted against what was checked.
        for attempt in range(5):
            try:
                close_old_connections()
                write(results)
                return
            except Exception:
                log.exception("storing %d results failed (attempt %d)", len(results), attempt + 1)
                time.sleep(0.2 * 2**attempt)
            finally:
                close_old_connections()


_runner: Runner | None = None
_lock = threading.Lock()


def runner() -> Runner:
    """Return this process's runner, started."""
    global _runner
    with _lock:
        if _runner is None:
            _runner = Runner()
    _runner.start()
    return _runner
