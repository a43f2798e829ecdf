"""Files read with care: JSON and YAML of strangers, and typed access to what they hold."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import yaml

from apps.core.imports import SourceFile
from apps.core.json_text import parse_json
from apps.monitors.importers.base import ImportFault

NODES_MOST = 200_000
DEPTH_MOST = 60
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
#: The C library is ten times as fast; it is in every wheel of PyYAML, but not in every build of it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
T = TypeVar("T")


# --- files -------------------------------------------------------------------------------------------------------


def load_json(file: SourceFile) -> Any:
    """Parse JSON.

    Raises:
        ImportFault: it is none; the text names the line.
    """
    try:
        return parse_json(file.text)
    except json.JSONDecodeError as error:
        message = error.msg[:1].lower() + error.msg[1:]
        raise ImportFault(f"{file.name}, line {error.lineno}, column {error.colno}: not JSON, {message}.") from None
    except ValueError as error:
        raise ImportFault(f"{file.name}: {error}.") from None


def load_yaml(file: SourceFile) -> Any:
    """Parse YAML of strangers: plain values only, and no more of them than could have been written out.

    Raises:
        ImportFault: it is none, or made to exhaust whoever reads it; the text names the line.
    """
    try:
        _sound_depth(file)
        loader = _LOADER(file.text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _weigh(node, file.name)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        began = error.context_mark.line + 1 if error.context_mark and error.context_mark is not mark else 0
        inside = f", in what begins in line {began}" if began and mark and began != mark.line + 1 else ""
        raise ImportFault(f"{file.name}{where}: not YAML, {error.problem or error.context}{inside}.") from None
    except yaml.YAMLError as error:
        raise ImportFault(f"{file.name}: not YAML, {' '.join(str(error).split())}.") from None
    except RecursionError:
        raise ImportFault(f"{file.name}: it is nested too deeply.") from None
    except (ValueError, TypeError, OverflowError) as error:  # a date that is none, a key that can't be one
        raise ImportFault(f"{file.name}: a value can't be read, {error}.") from None


def _sound_depth(file: SourceFile) -> None:
    """Refuse deep nesting before nodes are made of it: the C library makes them by recursion, on a stack that ends."""
    depth = 0
    for count, event in enumerate(yaml.parse(file.text, Loader=_LOADER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEPTH_MOST:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise ImportFault(f"{file.name}, line {line}: it is nested too deeply.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if count > 2 * NODES_MOST:
            raise ImportFault(f"{file.name}: it holds more than {NODES_MOST:,} values.")


def _weigh(root: yaml.Node, name: str) -> None:
    """Refuse a document whose aliases, written out, would be far larger than the file."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node, depth: int) -> int:
        known = sizes.get(id(node))
        line = node.start_mark.line + 1
        if known == 0:
            raise ImportFault(f"{name}, line {line}: an alias stands for something that contains itself.")
        if known is not None:
            return known
        if depth > DEPTH_MOST:
            raise ImportFault(f"{name}, line {line}: it is nested too deeply.")
        sizes[id(node)] = 0
        total = 1
        if isinstance(node, yaml.SequenceNode):
            total += sum(size(child, depth + 1) for child in node.value)
        elif isinstance(node, yaml.MappingNode):
            total += sum(size(key, depth + 1) + size(value, depth + 1) for key, value in node.value)
        if total > NODES_MOST:
            raise ImportFault(f"{name}, line {line}: its aliases blow it up to more than {NODES_MOST:,} values.")
        sizes[id(node)] = total
        return total

    size(root, 0)


# --- values ------------------------------------------------------------------------------------------------------


class Table:
    """An object of a file: typed access, and a record of what was looked at."""

    def __init__(self, data: Any, place: str) -> None:
        if not isinstance(data, dict):
            raise ImportFault(f"{place}: it should be an object with named values.")
        self.data: dict[Any, Any] = data
        self.place = place
        self._seen: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return self.data.get(name) is not None

    def raw(self, name: str) -> Any:
        """Return a value as it is."""
        self._seen.add(name)
        return self.data.get(name)

    def _fail(self, name: str, wanted: str) -> ImportFault:
        return ImportFault(f"{self.place}: “{name}” should be {wanted}.")

    def text(self, name: str, default: str = "") -> str:
        """Return a text; numbers count as such."""
        value = self.raw(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self._fail(name, "a text")
        return str(value).strip() if isinstance(value, str) else str(value)

    def long_text(self, name: str) -> str:
        """Return a text with its blanks."""
        value = self.raw(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self._fail(name, "a text")
        return value

    def number(self, name: str, default: float | None = None) -> float | None:
        """Return a number, also of a text that is one."""
        value = self.raw(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool):
            raise self._fail(name, "a number")
        try:
            found = float(value)
        except (TypeError, ValueError):
            raise self._fail(name, "a number") from None
        if not abs(found) < 1e12:
            raise self._fail(name, "a number of a sensible size")
        return found

    def integer(self, name: str, default: int = 0) -> int:
        """Return a whole number."""
        return int(self.number(name, default) or 0)

    def flag(self, name: str, default: bool = False) -> bool:
        """Return yes or no; 1 and 0 count as such."""
        value = self.raw(name)
        if value is None:
            return default
        if value in (0, 1, True, False):
            return bool(value)
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise self._fail(name, "true or false")

    def duration(self, name: str) -> float | None:
        """Return seconds: "30s", "1h30m", or a number."""
        value = self.raw(name)
        if value is None:
            return None
        try:
            return seconds_of(value)
        except ValueError:
            raise self._fail(name, "a duration such as 30s or 5m") from None

    def rows(self, name: str) -> list[Any]:
        """Return a list."""
        value = self.raw(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._fail(name, "a list")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        found = self.rows(name)
        if any(isinstance(one, dict | list) or one is None for one in found):
            raise self._fail(name, "a list of texts")
        return [str(one) for one in found]

    def table(self, name: str) -> "Table":
        """Return an object within; an empty one where it is absent."""
        value = self.raw(name)
        if value is None:
            return Table({}, f"{self.place}, {name}")
        if not isinstance(value, dict):
            raise self._fail(name, "an object with named values")
        return Table(value, f"{self.place}, {name}")

    def left(self) -> list[str]:
        """Return the names of values that say something and were not looked at."""
        nothing: tuple[Any, ...] = (None, "", False, 0, [], {})
        return [str(name) for name, value in self.data.items() if name not in self._seen and value not in nothing]


def seconds_of(value: Any) -> float:
    """Return seconds of a number or of a text such as "1h30m".

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, bool) or value is None:
        raise ValueError("no duration")
    if isinstance(value, int | float):
        return float(value)
    text = str(value).replace(" ", "").lower()
    found = _DURATION.findall(text)
    if not found or "".join(number + unit for number, unit in found) != text:
        return float(text)
    return float(sum(float(number) * _UNITS[unit] for number, unit in found))


def each(
    rows: Iterable[Any], make: Callable[[Any, str], T], place: str, failed: Callable[[str, str, Any], T]
) -> Iterator[T]:
    """Make something of each row; one that can't be read becomes what `failed(place, problem, row)` returns."""
    for number, row in enumerate(rows, 1):
        where = f"{place} {number}"
        try:
            yield make(row, where)
        except ImportFault as fault:
            problem = str(fault)
            yield failed(where, problem.removeprefix(f"{where}: "), row)
