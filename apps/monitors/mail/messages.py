"""What of a message is kept: the subject, then its text as a person would read it.

Whatever arrives becomes some text; nothing in here raises, and nothing takes longer than a few passes over the input,
for a sender may send anything.
"""

import contextlib
import html
import re
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import Message

from apps.monitors.services.ping_rules import SOURCE_CHARS
from apps.monitors.services.pings import PING_BODY_LIMIT

#: Of a message only so much is taken apart: what a body can hold in base64, with room for the headers.
PARSED_MOST = 200_000
HEADER_MOST = 1_000
#: The parser's time grows with their square.
MULTIPARTS_MOST = 50
#: Names who of several sent it, as the header of the same name does over HTTP.
SOURCE_HEADER = "Ping-Source"

_BLANK = re.compile(r"\s+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_TAG = re.compile(r"<[a-zA-Z/!?]")
_SILENT = ("script", "style", "head", "title", "template")
_BREAKS = frozenset(
    ("br", "p", "div", "tr", "li", "table", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "hr", "blockquote")
)


class _ShortHeaders(policy.Compat32):
    """The older policy, which does not look into the structure of headers; what is long costs time there, too."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        """Return name and value, cut."""
        name, value = super().header_source_parse(sourcelines)
        return name, value[:HEADER_MOST]


_SHORT = _ShortHeaders()


@dataclass(frozen=True, slots=True)
class Mail:
    """A message as a ping keeps it.

    Args:
        sender: the address that it names, else that of the envelope.
        body: subject and text, at most `PING_BODY_LIMIT` bytes.
        source: who of several that report to one heartbeat.
    """

    sender: str
    body: bytes
    source: str = ""


def read_mail(raw: bytes, envelope_sender: str) -> Mail:
    """Return what is kept of a message."""
    head = raw[:PARSED_MOST]
    try:
        if head.lower().count(b"multipart/") > MULTIPARTS_MOST:
            raise ValueError
        message = message_from_bytes(head, policy=_SHORT)
        subject, sender = _header(message, "Subject"), _header(message, "From")
        source, text = _header(message, SOURCE_HEADER)[:SOURCE_CHARS], _text_of(message)
    except Exception:  # beyond the parser (depth, charset, header): it is still a ping
        subject, sender, source, text = "", "", "", _decoded(head.partition(b"\r\n\r\n")[2] or head, "utf-8")
    text = _EMPTY_LINES.sub("\n\n", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    whole = f"Subject: {subject}\n\n{text}" if subject else text
    return Mail(sender or envelope_sender, whole.encode("utf-8", "replace")[:PING_BODY_LIMIT], source)


def _header(message: Message, name: str) -> str:
    value = message.get(name)
    if value is None:
        return ""
    value = str(value)
    with contextlib.suppress(ValueError, LookupError):  # a charset or an encoding that is none
        value = str(make_header(decode_header(value)))
    # Eight bits without a charset are kept as surrogates: they are UTF-8, or nothing.
    value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(char for char in _BLANK.sub(" ", value) if char.isprintable()).strip()


def _text_of(message: Message) -> str:
    """Return the first part that is text, HTML only where there is none."""
    parts = [part for part in message.walk() if not part.is_multipart() and part.get_content_disposition() in _SHOWN]
    for kind, read in (("text/plain", str), ("text/html", text_of_html)):
        for part in parts:
            if part.get_content_type() == kind:
                text = str(read(_payload(part)))
                if text.strip():
                    return text
    return ""


_SHOWN = (None, "inline")


def _payload(part: Message) -> str:
    payload = part.get_payload(decode=True)
    return _decoded(payload, str(part.get_content_charset() or "utf-8")) if isinstance(payload, bytes) else ""


def _decoded(raw: bytes, charset: str) -> str:
    try:
        return raw.decode(charset, "replace")
    except (LookupError, ValueError):
        return raw.decode("utf-8", "replace")


def text_of_html(source: str) -> str:
    """Return the words of a page: no tags, no scripts, a line for each block. One pass."""
    found: list[str] = []
    at = 0
    while (opened := source.find("<", at)) >= 0:
        found.append(_BLANK.sub(" ", source[at:opened]))
        is_comment = source.startswith("<!--", opened)
        if not is_comment and not _TAG.match(source, opened):
            found.append("<")
            at = opened + 1
            continue
        end = source.find("-->" if is_comment else ">", opened + 1)
        if end < 0:  # never closed: nobody would see it
            at = len(source)
            break
        at = end + (3 if is_comment else 1)
        if is_comment:
            continue
        tag = re.split(r"[\s/>]", source[opened + 1 : opened + 40].lower().lstrip("/"), maxsplit=1)[0]
        if tag in _SILENT and source[opened + 1] != "/":
            close = re.compile(f"</{tag}", re.IGNORECASE).search(source, at)
            at = close.start() if close else len(source)
        elif tag in _BREAKS:
            found.append("\n")
        elif tag in ("td", "th"):
            found.append(" ")
    found.append(_BLANK.sub(" ", source[at:]))
    lines = (line.strip() for line in html.unescape("".join(found)).replace("\xa0", " ").split("\n"))
    return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()
