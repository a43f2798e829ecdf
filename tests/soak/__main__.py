"""A thousand kills at random points of the main story: `make soak`, or

    python -m tests.soak [--kills 1000] [--seed N] [--sender]

Rounds of fifty, each on a new installation with a seed of its own. The first round that fails ends it and is repeated
with `KILLS=50 KILL_SEED=<its seed> .venv/bin/python -m pytest tests/e2e/test_kills.py -p no:randomly -s`.
With `--sender` only the process that sends is killed. Each round says how many messages arrived, and how many repeats.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ROUND = 50


def main() -> None:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**8), help="of the first round")
    parser.add_argument("--sender", action="store_true", help="kill the process that sends deliveries, and no other")
    options = parser.parse_args()
    parts = {"KILL_PARTS": "worker"} if options.sender else {}
    began, done, seed = time.monotonic(), 0, options.seed
    while done < options.kills:
        kills = min(ROUND, options.kills - done)
        code = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-s", "-p", "no:randomly", "tests/e2e/test_kills.py"],
            cwd=ROOT,
            env={**os.environ, **parts, "KILLS": str(kills), "KILL_SEED": str(seed)},
            stdin=subprocess.DEVNULL,
        ).returncode
        if code != 0:
            named = " ".join(f"{name}={value}" for name, value in parts.items())
            raise SystemExit(f"Failed after {done} kills, in the round with KILLS={kills} KILL_SEED={seed} {named}.")
        done, seed = done + kills, seed + 1
        print(f"{done} kills, {(time.monotonic() - began) / 60:.0f} min; the last seed was {seed - 1}", flush=True)


if __name__ == "__main__":
    main()
