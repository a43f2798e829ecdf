"""What transports over HTTP share: one request, its answer as an outcome, texts cut to size and made harmless."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

from apps.core.fields import MASK
from apps.core.net import NetError, Purpose, Response, request
from apps.notifications.transports.base import EXCERPT_BYTES, Message, Outcome, excerpt

TIMEOUT_S = 15.0
#: Answers after which a repeat would be answered the same: something is wrong with the channel or the message.
REFUSALS = frozenset({400, 401, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422})
#: Level -> colour, of messages that have one.
COLOURS = {"critical": "#b42318", "warning": "#b54708", "info": "#175cd3"}
OVER_COLOUR = "#067647"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
#: Stands behind an @, so that no service takes a name for somebody to be called.
_BREAK = "\u200b"

JUDGE = Callable[[Response, Any], str]


async def post(
    url: str,
    payload: Any,
    *,
    shown: str,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    secrets: Iterable[str] = (),
    judge: JUDGE | None = None,
) -> Outcome:
    """Send once and return what the other side said; redirects are not followed.

    Args:
        payload: sent as JSON; bytes as a form.
        shown: the URL as people may see it.
        secrets: blotted out in what the other side answers.
        judge: answers why a 2xx is none after all ("" where it is one), from the answer and its JSON (None: no JSON).
    """
    is_form = isinstance(payload, bytes)
    body = payload if is_form else json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    kind = "application/x-www-form-urlencoded" if is_form else "application/json"
    sent = {"method": method, "url": shown, "bytes": len(body)}

    def clean(text: str) -> str:
        for secret in secrets:
            for form in {secret, quote(secret, safe="")} - {""}:
                text = text.replace(form, MASK)
        return text

    try:
        answer = await request(
            method,
            url,
            purpose=Purpose.DELIVER,
            headers={"Content-Type": kind, "User-Agent": "Watchkeeper", **(headers or {})},
            body=body,
            timeout_s=TIMEOUT_S,
            max_body_bytes=4 * EXCERPT_BYTES,
        )
    except NetError as error:
        return Outcome(False, latency_ms=rounded(error.phases.total_ms), error=clean(error.message)[:500], request=sent)
    try:
        said = json.loads(answer.text())
    except ValueError:
        said = None
    problem = "" if answer.ok else f"The other side answered {answer.status} {answer.reason}".strip() + "."
    if answer.ok and judge is not None:
        problem = judge(answer, said)
    text = clean(answer.text())
    if problem and (detail := _detail(said, text)):
        problem = f"{problem} It says: {clean(detail)}"
    return Outcome(
        ok=not problem,
        status_code=answer.status,
        latency_ms=rounded(answer.phases.total_ms),
        response=excerpt(text),
        error=clean(problem)[:500],
        retry_after_s=retry_after(answer, said) if problem else None,
        gone=answer.status in REFUSALS,
        request=sent,
    )


def _detail(said: Any, text: str) -> str:
    if isinstance(said, dict):
        for name in ("description", "error_description", "message", "errors", "error", "errorDescription"):
            if said.get(name):
                value = said[name]
                return (value if isinstance(value, str) else json.dumps(value))[:300]
        return ""
    return " ".join(text.split())[:200] if not text.lstrip().startswith("<") else ""


def rounded(ms: float | None) -> float | None:
    """Return milliseconds with one digit."""
    return None if ms is None else round(ms, 1)


def retry_after(answer: Response, said: Any = None) -> float | None:
    """Return for how long the other side asks to be left alone.

    Source: RFC 9110, section 10.2.3; Telegram's parameters.retry_after, Discord's retry_after (s), Matrix's
    retry_after_ms.
    """
    value = answer.headers.get("retry-after").strip()
    if value:
        try:
            return max(0.0, float(value))
        except ValueError:
            pass
        try:
            return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
        except (ValueError, TypeError):
            pass
    if isinstance(said, dict):
        parameters = said.get("parameters")
        for found, unit in (
            (parameters.get("retry_after") if isinstance(parameters, dict) else None, 1.0),
            (said.get("retry_after"), 1.0),
            (said.get("retry_after_ms"), 0.001),
        ):
            if isinstance(found, int | float) and not isinstance(found, bool):
                return max(0.0, found * unit)
    return None


def hidden(url: str) -> str:
    """Return a URL whose path is a credential as people may see it: its host alone."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}/{MASK}"


def parts_of(url: str) -> list[str]:
    """Return what of a URL is a credential, longest first: the whole, and each longer part of path and query."""
    parts = urlsplit(url)
    words = re.split(r"[/?&=]", f"{parts.path}/{parts.query}")
    return sorted({url, *(word for word in words if len(word) >= 8)}, key=len, reverse=True)


def joined(base: str, path: str) -> str:
    """Return a path below a base URL."""
    return f"{base.rstrip('/')}/{path.lstrip('/')}"


def cut(text: str, most: int) -> str:
    """Return at most `most` characters; "…" stands for what is left out."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def cut_bytes(text: str, most: int) -> str:
    """Return at most `most` bytes of UTF-8; "…" stands for what is left out."""
    data = text.encode()
    return text if len(data) <= most else data[: most - 3].decode(errors="ignore").rstrip() + "…"


def cut_utf16(text: str, most: int) -> str:
    """Return at most `most` UTF-16 units, by which Telegram counts; "…" stands for what is left out."""
    data = text.encode("utf-16-le")
    return text if len(data) <= 2 * most else data[: 2 * (most - 1)].decode("utf-16-le", errors="ignore").rstrip() + "…"


def harmless(text: str) -> str:
    """Return a text without control characters, in which no @name calls anybody."""
    return _CONTROL.sub(" ", text.replace("\r\n", "\n")).replace("@", f"@{_BREAK}")


def title_of(message: Message) -> str:
    """Return the title in one harmless line."""
    return " ".join(harmless(message.title).split())


def text_of(message: Message) -> str:
    """Return the text, with a word on its delay where that is long."""
    late = ""
    if message.delay_s >= 90:
        late = f"Delayed by {message.delay_s / 60:.0f} min: earlier attempts to send this failed."
    return harmless("\n\n".join(part for part in (message.text, late) if part))


def colour_of(message: Message) -> str:
    """Return the colour of its level, green where it is over."""
    return OVER_COLOUR if message.is_over else COLOURS.get(message.level, COLOURS["info"])
