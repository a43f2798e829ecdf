"""Twenty kills at seeded random points: nothing accepted is lost, nothing is told twice as another, nothing is
orphaned.
"""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.story import ENVIRONMENT, Story
from tests.support.processes import Installation, Template, wait_for

KILLS = int(os.environ.get("KILLS", "20"))
#: Installations side by side, which share the kills.
SIDES = int(os.environ.get("KILL_SIDES", "2"))
SEED = int(os.environ.get("KILL_SEED", "20261122"))
#: What is killed, drawn evenly; KILL_PARTS=worker kills the sender of deliveries alone.
PARTS = os.environ.get("KILL_PARTS", "worker,web,redis,worker,web,supervisor").split(",")
#: Where the sender alone is killed, what it samples of this host after each start would cost most of the time.
SAMPLES = "off" if PARTS == ["worker"] else "on"


class Pinger(threading.Thread):
    """Pings all the time and counts what was accepted and what was sent."""

    def __init__(self, story: Story) -> None:
        super().__init__(daemon=True)
        self.story, self.accepted, self.sent = story, 0, 0
        self._over = threading.Event()

    def run(self) -> None:
        """Ping until stopped."""
        while not self._over.is_set():
            self.sent += 1
            if self.story.ping():
                self.accepted += 1
            time.sleep(0.05)

    def stop(self) -> None:
        """End after the ping under way."""
        self._over.set()
        self.join(30)


def _wait_until_checked(story: Story) -> None:
    path = f"/api/v1/endpoints/{story.endpoint['id']}"
    before = story.api.call("GET", path)["last_check_at"]
    wait_for(lambda: story.api.call("GET", path)["last_check_at"] != before, what="the worker checks", patience_s=90)


def test_kills_at_random_points_lose_nothing(tmp_path_factory: pytest.TempPathFactory, template: Template) -> None:
    # Side by side: much of the time is the pause before a part is started again, which grows with each of its deaths.
    shares = [KILLS // SIDES + (number < KILLS % SIDES) for number in range(SIDES)]
    sides = [(number, kills) for number, kills in enumerate(shares) if kills]
    with ThreadPoolExecutor(len(sides)) as pool:
        running = [
            pool.submit(_kill, template, tmp_path_factory.mktemp("kills") / "data", kills, f"{SEED}/{number}")
            for number, kills in sides
        ]
    for side in running:
        side.result()


def _kill(template: Template, data_dir: Path, kills: int, seed: str) -> None:
    """Play the story on an installation of its own, killing its parts."""
    chance = random.Random(seed)
    env = {**ENVIRONMENT, "RESTART_PAUSE_MAX": "1", "LOCAL_SERVER": SAMPLES}
    with Installation(data_dir=data_dir, env=env, template=template) as installation:
        assert installation.admin is not None
        with Story(installation.port, installation.admin.username, installation.admin.password).running() as story:
            story.set_up()
            # The site goes up and down more often than anything sound; here every change is to be told.
            story.api.call("PUT", "/api/v1/settings/alerts/flap_flips", {"value": 0})
            pinger = Pinger(story)
            pinger.start()
            is_up = True
            for _ in range(kills):
                if chance.random() < 0.7:
                    is_up = not is_up
                    story.target.start() if is_up else story.target.stop()
                time.sleep(chance.uniform(0, 3))
                part = chance.choice(PARTS)
                before = installation.pid(part) if part != "supervisor" else installation.supervisor_pid
                installation.kill9(part)
                if part == "supervisor":
                    installation.assert_nothing_left()
                    installation.start()
                else:
                    installation.pid(part, other_than=before)
                if part == "web":
                    installation.wait_until_serving()
                if PARTS == ["worker"]:
                    _wait_until_checked(story)  # the next kill is to hit a sender at work, not one that starts
            if not is_up:
                story.target.start()
            pinger.stop()
            story.wait_status("up")
            wait_for(
                lambda: all(row["status"] == "resolved" for row in story.alerts()),
                what="every alert is resolved",
                patience_s=90,
            )
            for alert in story.alerts():
                story.wait_told(alert["id"], "alert.resolved")
            story.assert_told_in_order()
            count = story.api.call("GET", f"/api/v1/heartbeats/{story.heartbeat['id']}")["ping_count"]
            assert pinger.accepted <= count <= pinger.sent, f"seed {seed}"
            assert pinger.accepted > 0
            received = story.receiver.requests
            ids = {request.headers["webhook-id"] for request in received}
            print(
                f"\n{kills} kills of {', '.join(sorted(set(PARTS)))} (seed {seed}): {len(story.alerts())} alerts, "
                f"{len(ids)} messages arrived, {len(received) - len(ids)} repeats came under the same ids; "
                f"{pinger.accepted} pings accepted, {count} kept.",
                flush=True,
            )
            system = story.api.call("GET", "/api/v1/admin/audit?action=system.alert")["results"]
            assert not [row for row in system if row["resource_type"] == "reader"], "a reader set a fact aside"
