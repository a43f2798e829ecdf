"""Typed, loud readers of the environment. Imports no Django: the supervisor uses them too.

A variable `X` may also be given as `X_FILE`, the path of a file that holds the value; the file wins. A value of the
wrong form ends the process with one sentence that names the variable.
"""

import ipaddress
import os
from pathlib import Path
from typing import NoReturn

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off", ""}


class ConfigurationError(SystemExit):
    """A setting of the environment is wrong; the message is the whole story for the operator."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)


def fail(name: str, why: str) -> NoReturn:
    """End the process with one sentence about the variable `name`."""
    raise ConfigurationError(f"{name}: {why}")


def text(name: str, default: str = "") -> str:
    """Return the variable as text, `X_FILE` before `X`."""
    file = os.environ.get(f"{name}_FILE")
    if file:
        try:
            return Path(file).read_text().strip()
        except OSError as error:
            fail(f"{name}_FILE", f"{file} can't be read ({error.strerror}); give a readable file or unset it.")
    value = os.environ.get(name)
    return default if value is None or value == "" else value.strip()


def flag(name: str, default: bool = False) -> bool:
    """Return the variable as a switch: on/off, true/false, yes/no, 1/0."""
    value = text(name, "on" if default else "off").lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    fail(name, f'"{value}" is neither on nor off.')


def integer(name: str, default: int, *, least: int | None = None, most: int | None = None) -> int:
    """Return the variable as a whole number within the bounds."""
    value = text(name, str(default))
    try:
        number = int(value)
    except ValueError:
        fail(name, f'"{value}" is not a whole number.')
    if (least is not None and number < least) or (most is not None and number > most):
        fail(name, f"{number} is outside {least}..{most}.")
    return number


def words(name: str, default: str = "") -> list[str]:
    """Return a comma-separated variable as a list without empty entries."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def networks(name: str, default: str = "") -> list[IpNetwork]:
    """Return a comma-separated variable as CIDR networks."""
    found: list[IpNetwork] = []
    for word in words(name, default):
        try:
            found.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            fail(name, f'"{word}" is not a CIDR such as 10.0.0.0/8.')
    return found


def addresses(name: str) -> list[tuple[str, int]]:
    """Return a comma-separated variable of HOST:PORT as pairs."""
    found = []
    for word in words(name):
        host, _, port = word.rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65536:
            fail(name, f'"{word}" is not HOST:PORT such as 192.0.2.1:443.')
        found.append((host.strip("[]"), int(port)))
    return found


def choice(name: str, default: str, allowed: set[str]) -> str:
    """Return the variable, one of `allowed`."""
    value = text(name, default)
    if value not in allowed:
        fail(name, f'"{value}" is not one of {", ".join(sorted(allowed))}.')
    return value
