"""Runtime settings: declared by the apps, changed by admins, in force everywhere within 2 s.

A value lives in the database only where it differs from its default. Each process keeps a copy for at most a second and
drops it when the bell rings.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from apps.core import bell, crypto, errors
from apps.core.events.emit import Subject, emit
from apps.core.fields import MASK, SealedToken, sealed_value
from apps.core.models import StoredSetting
from apps.core.principals import Principal
from apps.core.registries import Registry

log = logging.getLogger(__name__)

KEEP_COPY_S = 1.0
_SEALED = StoredSetting._meta.get_field("secret")


@dataclass(frozen=True, slots=True)
class Setting:
    """A runtime setting.

    Args:
        kind: "int", "float", "bool", "str", "list" (of words) or "duration" (seconds, "30m" accepted).
        least, most: bounds of a number or duration.
        choices: allowed values, for "str" and the entries of "list".
        secret: kept sealed and shown as "***"; sending "***" keeps it. A text whose default is "".
        check: raises ValueError with a sentence where a value of the right type will not do.
    """

    category: str
    key: str
    kind: str
    default: Any
    description: str
    least: float | None = None
    most: float | None = None
    choices: Sequence[str] | None = None
    secret: bool = False
    check: Callable[[Any], None] | None = None

    @property
    def name(self) -> str:
        """Return "category.key"."""
        return f"{self.category}.{self.key}"


declared: Registry[Setting] = Registry("setting")
_copy: dict[str, Any] | None = None
_copied_at = 0.0
_lock = threading.Lock()
_listening = False


def declare(category: str, key: str, kind: str, default: Any, description: str, **limits: Any) -> Setting:
    """Declare a setting; call it when the app is loaded."""
    setting = Setting(category, key, kind, default, description, **limits)
    return declared.register(setting.name, setting)


def get(name: str) -> Any:
    """Return the value in force of "category.key"."""
    setting = declared[name]
    value = _stored().get(name, setting.default)
    return _opened(name, value) if isinstance(value, SealedToken) else value


def _opened(name: str, token: SealedToken) -> str:
    """Return a secret value; "" where its key is missing: the doctor tells that."""
    try:
        return crypto.unseal(token, _SEALED.context_of(name))
    except crypto.CryptoError:
        log.warning("the setting %s can't be opened with this vault key", name)
        return ""


def _value_of(row: StoredSetting) -> Any:
    token = sealed_value(row, "secret")
    return _opened(row.name, SealedToken(token)) if token else row.value


def _stored() -> dict[str, Any]:
    global _copy, _copied_at, _listening
    if not _listening:
        _listening = True
        bell.listen(bell.SETTINGS, lambda *_: forget())
    if _copy is None or time.monotonic() - _copied_at > KEEP_COPY_S:
        with _lock:
            rows = StoredSetting.objects.values_list("name", "value", "secret")
            _copy = {name: secret or value for name, value, secret in rows}
            _copied_at = time.monotonic()
    return _copy


def forget() -> None:
    """Drop this process's copy, so that the next read asks the database."""
    global _copy
    _copy = None


def parse_duration(value: Any) -> float:
    """Return seconds from a number, "90", "30s", "30m", "2h" or "7d".

    Raises:
        ValueError: neither, or nothing that could be counted to.
    """
    try:
        seconds = _seconds(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise ValueError("give a number of seconds that ends")
    return seconds


def _seconds(value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError("give seconds or a text such as 30m")
    if isinstance(value, int | float):
        return float(value)
    text = str(value).strip().lower()
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
    total, number = 0.0, ""
    try:
        if text and text[-1] not in units:
            return float(text)
        for letter in text:
            if letter in units:
                total += float(number) * units[letter]
                number = ""
            else:
                number += letter
    except ValueError:
        raise ValueError("give seconds or a text such as 30s, 30m, 1h30m or 7d") from None
    if not text:
        raise ValueError("give seconds or a text such as 30m")
    return total


def clean(setting: Setting, value: Any) -> Any:
    """Return `value` in the setting's type.

    Raises:
        ValueError: wrong type or out of range; the text says what would do.
    """
    kind = setting.kind
    if kind == "bool":
        if not isinstance(value, bool):
            raise ValueError("give true or false")
        return value
    if kind in ("int", "float", "duration"):
        if kind == "duration":
            number: float = parse_duration(value)
        elif isinstance(value, bool) or not isinstance(value, int | float) or (kind == "int" and value != int(value)):
            raise ValueError("give a whole number" if kind == "int" else "give a number")
        else:
            number = value
        if (setting.least is not None and number < setting.least) or (
            setting.most is not None and number > setting.most
        ):
            raise ValueError(
                f"must lie in {setting.least:g}..{setting.most:g}"
                if setting.least is not None and setting.most is not None
                else "is out of range"
            )
        return int(number) if kind == "int" or number == int(number) else number
    if kind == "list":
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise ValueError("give a list of texts")
        if setting.choices is not None and (wrong := sorted(set(value) - set(setting.choices))):
            raise ValueError(f"{', '.join(wrong)}: not one of {', '.join(setting.choices)}")
        return value
    if not isinstance(value, str):
        raise ValueError("give a text")
    if setting.choices is not None and value not in setting.choices:
        raise ValueError(f"must be one of {', '.join(setting.choices)}")
    if setting.check is not None and value:
        setting.check(value)
    return value


def change_settings(*, values: dict[str, Any], actor: Principal) -> None:
    """Change settings, all of them or none.

    Args:
        values: "category.key" -> value.

    Raises:
        Invalid: an unknown setting, a wrong type, out of range (422).

    Emits: setting.changed, one a changed setting.
    """
    problems: dict[str, str] = {}
    cleaned: dict[str, Any] = {}
    for name, value in values.items():
        setting = declared.get(name)
        if setting is None:
            problems[name] = "there is no such setting"
            continue
        if setting.secret and value == MASK:
            continue
        try:
            cleaned[name] = clean(setting, value)
        except ValueError as error:
            problems[name] = str(error)
    if problems:
        raise errors.Invalid(problems)
    with transaction.atomic():
        rows = {row.name: row for row in StoredSetting.objects.select_for_update().filter(name__in=cleaned)}
        before = {name: _value_of(row) for name, row in rows.items()}
        for name, value in cleaned.items():
            setting = declared[name]
            old = before.get(name, setting.default)
            if old == value:
                continue
            if value == setting.default:
                StoredSetting.objects.filter(name=name).delete()
            else:
                defaults = {"value": MASK, "secret": value} if setting.secret else {"value": value}
                StoredSetting.objects.update_or_create(name=name, defaults=defaults)
            shown = (old and MASK, value and MASK) if setting.secret else (old, value)
            emit(
                "setting.changed",
                subject=Subject("setting", name, name),
                actor=actor,
                data={"setting": name, "value": shown[1]},
                before={"value": shown[0]},
                after={"value": shown[1]},
            )
        transaction.on_commit(_announce)


def _announce() -> None:
    forget()
    bell.ring(bell.SETTINGS)


declare("general", "installation_name", "str", "Watchkeeper", "Shown in the console's title and in messages.")
declare(
    "retention",
    "events",
    "duration",
    730 * 86400,
    "How long events (the audit trail) are kept.",
    least=86400,
    most=3650 * 86400,
)
declare(
    "retention",
    "disk_full_percent",
    "int",
    95,
    "Share of the disk from which on telemetry is refused.",
    least=50,
    most=99,
)
