"""Run the supervisor over light children of a test's choosing: `python -m tests.ops.driver FOLDER SPECS-AS-JSON`.

Says "ready" once they have started, as `manage.py up` does once the product serves.
"""

import json
import os
import sys
from pathlib import Path

from config.supervisor import datadir
from config.supervisor.loop import KILL_AFTER_S, KILL_LAST_AFTER_S, Spec, StopRequestedError, Supervisor
from config.supervisor.output import say


def main() -> None:
    """Start the children, and keep them until told to stop."""
    folder = Path(sys.argv[1])
    datadir.prepare(folder)
    lock = datadir.Lock(folder, address="http://127.0.0.1:1")
    wanted = json.loads(sys.argv[2])
    datadir.await_earlier_run(folder / "run", [each["name"] for each in wanted])
    wanted_times = os.environ.get("KILL_AFTER", f"{KILL_AFTER_S} {KILL_LAST_AFTER_S}")
    kill_after_s, kill_last_after_s = map(float, wanted_times.split())
    supervisor = Supervisor(
        run_dir=folder / "run",
        log_dir=folder / "logs",
        terminal=say,
        kill_after_s=(kill_after_s, kill_last_after_s),
    )
    try:
        for each in wanted:
            supervisor.start(Spec(env=dict(os.environ), cwd=folder, **each))
        if os.environ.get("READY") != "never":
            supervisor.declare_ready()
            say("ready")
        supervisor.run()
    except StopRequestedError:
        say("stopping")
    finally:
        supervisor.stop()
        lock.release()
    say("stopped")


main()
