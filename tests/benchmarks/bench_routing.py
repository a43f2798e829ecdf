"""What it costs to decide who is told of a burst of facts, and to write it: `python -m tests.benchmarks.bench_routing`.

    python -m tests.benchmarks.bench_routing [--facts 500] [--users 6]

Opens that many alerts about as many things in a new SQLite file, or in the empty PostgreSQL database at DATABASE_URL,
and lets the reader `notifications.route` take them: by a rule to one channel, by default to another, and into
everybody's inbox. Prints the processor time of this process as JSON, which does not depend on what else the machine
does; the time of a PostgreSQL server is not in it.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.processes import ScaleLayout

ROUNDS = 3


def main() -> None:
    """Fill, route, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--facts", type=int, default=500)
    parser.add_argument("--users", type=int, default=6)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wk-bench-") as name:
        folder = Path(name)
        url = os.environ.get("DATABASE_URL") or f"sqlite:///{folder}/watchkeeper.sqlite3"
        layout = ScaleLayout(data_dir=folder, database_url=url, redis_url=f"unix://{folder}/none.sock")
        layout.prepare()
        os.environ.update(layout.environment, DJANGO_SETTINGS_MODULE="config.settings")
        import django

        django.setup()
        print(json.dumps(measure(options.facts, options.users), indent=2))


def measure(facts: int, users: int) -> dict[str, Any]:
    """Return what was written, and the best processor time of some rounds."""
    from apps.accounts.models import User
    from apps.accounts.principals import principal_of_user
    from apps.notifications.models import Delivery, Notification
    from tests.factories.accounts import make_user
    from tests.factories.notifications import make_channel, make_rule

    admin = principal_of_user(User.objects.get())
    make_rule(make_channel(actor=admin), actor=admin, events=["alert.*"])
    make_channel(actor=admin)
    for _ in range(users - 1):
        make_user("viewer")
    route(1)  # what is loaded once
    told = Notification.objects.count(), Delivery.objects.count()
    times = [route(facts) for _ in range(ROUNDS)]
    return {
        "facts": facts,
        "users": users,
        "inbox messages a round": (Notification.objects.count() - told[0]) // ROUNDS,
        "deliveries a round": (Delivery.objects.count() - told[1]) // ROUNDS,
        "cpu, ms": round(min(times) * 1000),
        "cpu of a fact, ms": round(min(times) * 1000 / facts, 2),
    }


def route(count: int) -> float:
    """Open alerts and let the reader take them; return the seconds of processor time that it took."""
    from apps.core.events.readers import read_once, readers
    from apps.core.events.sequencer import last_seq, sequence_events
    from apps.core.ids import new_id
    from apps.core.models import ReaderCursor
    from tests.factories.notifications import make_fact

    one = readers["notifications.route"]
    for _ in range(count):
        number = str(new_id())
        make_fact(alert=f"alert-{number}", thing=f"web-{number}")
    sequence_events()
    end = last_seq()
    began = time.process_time()
    while (cursor := ReaderCursor.objects.filter(name=one.name).first()) is None or cursor.seq < end:
        read_once(one)
    return time.process_time() - began


if __name__ == "__main__":
    main()
