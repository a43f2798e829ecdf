#!/usr/bin/env python
"""Watchkeeper's command line. `up` starts the whole product; every other command is Django's."""

import os
import sys

OLDEST, NEWEST = (3, 11), (3, 13)


def main() -> None:
    """Run the command that was asked for; no argument lists them."""
    # First of all, and in words that every Python 3.6 can parse: whatever comes later would fail less clearly.
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            "Watchkeeper runs on Python {}.{} to {}.{}, this is {}.{}; start it with one of those.".format(
                *(OLDEST + NEWEST + tuple(sys.version_info[:2]))
            )
        )
    from pathlib import Path

    from config.supervisor.dotenv import load_dotenv

    load_dotenv(Path(__file__).resolve().parent / ".env")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] == ["smtp"]:
        os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.mail"  # a small process: it loads what pings need
    if sys.argv[1:2] == ["up"]:
        from config.supervisor.up import main as up

        sys.exit(up(sys.argv[2:]))
    try:
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit(f"Django is not installed for {sys.executable}; run `make run`, or use .venv/bin/python.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
