"""A thousand kills at random points of the main story: `make soak`, or

    python -m tests.soak [--kills 1000] [--seed N] [--sender] [--sides 4]

Each round kills twenty times on each of some new installations side by side, with a seed of its own. The first round
that fails ends it and says how it is repeated with `tests/e2e/test_kills.py`.
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
ROUND = 20


def main() -> None:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**8), help="of the first round")
    parser.add_argument("--sender", action="store_true", help="kill the process that sends deliveries, and no other")
    parser.add_argument("--sides", type=int, default=4, help="installations side by side")
    options = parser.parse_args()
    settings = {"KILL_SIDES": str(options.sides), **({"KILL_PARTS": "worker"} if options.sender else {})}
    began, done, seed = time.monotonic(), 0, options.seed
    while done < options.kills:
        kills = min(ROUND * options.sides, options.kills - done)
        code = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-s", "-p", "no:randomly", "tests/e2e/test_kills.py"],
            cwd=ROOT,
            env={**os.environ, **settings, "KILLS": str(kills), "KILL_SEED": str(seed)},
            stdin=subprocess.DEVNULL,
        ).returncode
        if code != 0:
            named = " ".join(f"{name}={value}" for name, value in settings.items())
            raise SystemExit(f"Failed after {done} kills, in the round with KILLS={kills} KILL_SEED={seed} {named}.")
        done, seed = done + kills, seed + 1
        print(f"{done} kills, {(time.monotonic() - began) / 60:.0f} min; the last seed was {seed - 1}", flush=True)


if __name__ == "__main__":
    main()
