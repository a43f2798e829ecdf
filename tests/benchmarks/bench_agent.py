"""Host agents: what one costs its host, and 500 of them on one web process, through a storm; prints JSON.

    python -m tests.benchmarks.bench_agent [--agents 500] [--seconds 60]

The real program runs against the product with its usual interval of 5 s. Then agents that are written by hand, in this
process, send samples of a usual size; the web process is killed, and all of them come back by the program's own rule.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import django
import psutil
import websockets
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.processes import ROOT, Installation, answers, wait_for

# The sampler's package is the platform's own; nothing of this process's settings is used.
_settings = tempfile.TemporaryDirectory()
os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": _settings.name}
django.setup()

from agent.link import FIRST_PAUSE_S, PAUSE_MOST_S  # noqa: E402
from apps.fleet.sampler.host import HostReader  # noqa: E402
from tests.support.agents import AgentProgram  # noqa: E402

INTERVAL_S = 5.0
_ADMIT = """
import json, sys, django
django.setup()
from cryptography.hazmat.primitives import serialization
from tests.factories.agents import make_host_agent
for number in range(int(sys.argv[1])):
    agent, host = make_host_agent(f"bench-{number}", max_uses=1)
    pem = host.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                 serialization.NoEncryption()).decode()
    print(json.dumps([agent.slug, pem, host.certificate]), flush=True)
"""


def admitted(installation: Installation, count: int) -> list[tuple[str, str, str]]:
    """Return (slug, key, certificate) of new agents."""
    done = subprocess.run(
        [sys.executable, "-c", _ADMIT, str(count)], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**installation.environment, "DJANGO_SETTINGS_MODULE": "config.settings"}, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def one_program(installation: Installation, credentials: tuple[str, str, str], seconds: float) -> dict[str, Any]:
    """Return what the real program costs its host."""
    with tempfile.TemporaryDirectory() as folder:
        program = AgentProgram(Path(folder) / "state")
        program.folder.mkdir()
        (program.folder / "key.pem").write_text(credentials[1])
        (program.folder / "certificate.pem").write_text(credentials[2])
        (program.folder / "agent.json").write_text(json.dumps({"url": installation.url}))
        with program:
            wait_for(lambda: "connected as" in program.said(), what="the agent")
            time.sleep(20)
            process = psutil.Process(program.pid)
            before, begun = cpu_of(program.pid), time.monotonic()
            time.sleep(seconds)
            used, spent = cpu_of(program.pid) - before, time.monotonic() - begun
            memory = process.memory_info().rss + sum(one.memory_info().rss for one in process.children())
            return {
                "memory_mb": round(process.memory_info().rss / 1e6, 1),
                "memory_with_journalctl_mb": round(memory / 1e6, 1),
                "cpu_percent_of_a_core": round(100 * used / spent, 2),
                "processes_of_the_host": len(psutil.pids()),
            }


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


class Simulated:
    """An agent that sends a sample every interval and comes back by the program's own rule."""

    def __init__(self, url: str, credentials: tuple[str, str, str], sample: dict[str, Any]) -> None:
        self.url = url.replace("http", "ws", 1) + "/ws/agent"
        _, key, self.certificate = credentials
        loaded = serialization.load_pem_private_key(key.encode(), None)
        assert isinstance(loaded, Ed25519PrivateKey)
        self.key, self.sample = loaded, sample
        self.delays: list[float] = []
        self.welcome_at = 0.0
        self.lost = 0

    async def run(self) -> None:
        """Run until cancelled."""
        failures = 0
        await asyncio.sleep(random.uniform(0, INTERVAL_S))
        while True:
            try:
                async with websockets.connect(self.url, compression=None, open_timeout=10) as socket:
                    challenge = json.loads(await socket.recv())
                    signed = self.key.sign(b"watchkeeper-agent-v1\0" + base64.b64decode(challenge["nonce"]))
                    hello = {
                        "type": "hello", "protocol": 1, "certificate": self.certificate, "version": "bench",
                        "signature": base64.b64encode(signed).decode(),
                    }  # fmt: skip
                    await socket.send(json.dumps(hello))
                    assert json.loads(await socket.recv())["type"] == "welcome"
                    self.welcome_at, failures = time.time(), 0
                    await self._send(socket)
            except (OSError, websockets.WebSocketException, TimeoutError):
                self.lost += 1
            most = min(PAUSE_MOST_S, FIRST_PAUSE_S * 2**failures)
            failures += 1
            await asyncio.sleep(random.uniform(most / 4, most))

    async def _send(self, socket: Any) -> None:
        number = 0
        while True:
            number += 1
            self.sample["timestamp"] = time.time()
            begun = time.perf_counter()
            await socket.send(json.dumps({"type": "batch", "n": number, "samples": [self.sample], "logs": []}))
            while json.loads(await socket.recv())["type"] != "ack":
                pass
            self.delays.append(time.perf_counter() - begun)
            await asyncio.sleep(max(0.0, INTERVAL_S - (time.perf_counter() - begun)))


async def many(installation: Installation, agents: list[Simulated], seconds: float) -> dict[str, Any]:
    """Return how the web process fares with all of them, and how long a storm lasts."""
    tasks = [asyncio.create_task(one.run()) for one in agents]
    try:
        while not all(one.welcome_at for one in agents):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        await asyncio.sleep(2 * INTERVAL_S)
        for one in agents:
            one.delays.clear()
        web = installation.pid("web")
        before, begun = cpu_of(web), time.monotonic()
        await asyncio.sleep(seconds)
        used, spent = cpu_of(web) - before, time.monotonic() - begun
        delays = sorted(delay for one in agents for delay in one.delays)
        steady = {
            "agents": len(agents),
            "samples_per_s": round(len(delays) / spent, 1),
            "ack_ms": {
                "median": round(1000 * statistics.median(delays)),
                "p95": round(1000 * delays[int(len(delays) * 0.95)]),
                "most": round(1000 * delays[-1]),
            },
            "web_cpu_percent_of_a_core": round(100 * used / spent, 1),
            "web_memory_mb": round(psutil.Process(web).memory_info().rss / 1e6),
        }
        killed = time.time()
        await asyncio.to_thread(installation.kill9, "web")
        while not await asyncio.to_thread(answers, installation.port):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        back = time.time()
        while not all(one.welcome_at > killed for one in agents):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        storm = {
            "web_away_s": round(back - killed, 1),
            "all_back_after_s": round(max(one.welcome_at for one in agents) - back, 1),
            "half_back_after_s": round(statistics.median(one.welcome_at for one in agents) - back, 1),
        }
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {"steady": steady, "storm": storm}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        env = {"RESTART_PAUSE_MAX": "1", "LOCAL_SERVER": "off"}
        with Installation(data_dir=Path(folder) / "data", env=env) as installation:
            first, *others = admitted(installation, options.agents + 1)
            single = one_program(installation, first, options.seconds)
            reader = HostReader()
            reader.prime()
            sample = reader.snapshot()
            sample["processes"].pop("all", None)
            agents = [Simulated(installation.url, one, dict(sample)) for one in others]
            found = asyncio.run(many(installation, agents, options.seconds))
            print(json.dumps({"sample_bytes": len(json.dumps(sample)), "program": single, **found}, indent=1))


if __name__ == "__main__":
    main()
