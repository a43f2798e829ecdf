"""Read `.env` beside `manage.py`, so that a setting survives the shell it was typed in."""

import os
from pathlib import Path


def load_dotenv(path: str | Path) -> None:
    """Put the `NAME=value` lines of the file into the environment; what is set there already wins.

    Quotes around a value are dropped, `#` starts a comment at the beginning of a line, nothing is expanded.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip()
        if not separator or not name.isidentifier():
            continue
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        # A given NAME_FILE must not be overruled by a NAME that the file happens to hold.
        if f"{name}_FILE" not in os.environ:
            os.environ.setdefault(name, value)
