"""Masks secrets in what programs print: as they are and in the forms in which programs write them.

Known forms: plain; JSON (once and twice, in either spelling of other letters, slashes and angle brackets escaped or
not); URL (any choice of reserved characters, `+` or `%20`); shell (the ways out of single quotes, double quotes,
backslashes, `$'…'`); HTML; base64 in both alphabets, wrapped in lines or not, also inside a longer text at any offset;
hexadecimal. Of a value of several lines each long line counts too, as logs put something before every line.

A value of fewer than `LEAST` characters is not masked: it would blot out ordinary text everywhere. The vault takes
none.
"""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import quote

MASK: Final = "***"
LEAST: Final = 4
#: A line of a value of several lines is masked by itself from this length on.
LEAST_LINE: Final = 8
_CUT: Final = -1
_OTHER: Final = -2
_HEAD: Final = 10  # characters of a form that the search itself compares
_OPTION_MOST: Final = 64  # no way to write one character is longer

#: What may stand for one character; no option is the beginning of another, so that there is one way to read a text.
_Options = tuple[bytes, ...]
_Form = tuple[_Options, ...]

_UNRESERVED = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
_HTML = {
    "&": ("&amp;", "&#38;"),
    "<": ("&lt;", "&#60;"),
    ">": ("&gt;", "&#62;"),
    '"': ("&quot;", "&#34;"),
    "'": ("&#x27;", "&#39;", "&apos;"),
}
_JSON_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
_DOUBLE_QUOTED = frozenset('"\\$`!')
_DOLLAR_QUOTED = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\", "'": "\\'", "\x1b": "\\E"}


def _bytes(*texts: str) -> _Options:
    return tuple(dict.fromkeys(text.encode(errors="surrogatepass") for text in texts))


def _plain(letter: str) -> _Options:
    return _bytes("\n", "\r\n") if letter == "\n" else _bytes(letter)


def _unicode_escape(letter: str) -> tuple[str, ...]:
    text = json.dumps(letter)[1:-1] if ord(letter) > 126 else f"\\u{ord(letter):04x}"
    return (text, re.sub(r"(?<=\\u)[0-9a-f]{4}", lambda found: found[0].upper(), text))


def _json(letter: str) -> _Options:
    short = _JSON_SHORT.get(letter)
    if short:
        return _bytes(short, *_unicode_escape(letter))
    if ord(letter) < 32:
        return _bytes(*_unicode_escape(letter))
    if ord(letter) > 126 or letter in "<>&'":
        return _bytes(letter, *_unicode_escape(letter))
    return _bytes("/", "\\/") if letter == "/" else _bytes(letter)


def _json_twice(letter: str) -> _Options:
    return tuple(dict.fromkeys(json.dumps(one.decode(errors="surrogatepass"))[1:-1].encode() for one in _json(letter)))


def _url(letter: str) -> _Options:
    if letter in _UNRESERVED:
        return _bytes(letter)
    encoded = quote(letter, safe="", errors="surrogatepass")
    low = re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
    if letter == "\n":
        return _bytes(encoded, low, "%0D%0A", "%0d%0a")
    if letter == " ":
        return _bytes("+", "%20")
    # A character that a program leaves as it is; "%" never is, it begins every other form.
    return _bytes(encoded, low) if letter == "%" or ord(letter) < 33 else _bytes(encoded, low, letter)


def _single_quoted(letter: str) -> _Options:
    return _bytes("'\\''", "'\"'\"'") if letter == "'" else _plain(letter)


def _double_quoted(letter: str) -> _Options:
    return _bytes(f"\\{letter}") if letter in _DOUBLE_QUOTED else _plain(letter)


def _backslashed(letter: str) -> _Options:
    if letter.isascii() and not letter.isalnum() and letter.isprintable() and letter not in "-_./:@%+=":
        return _bytes(f"\\{letter}")
    return _plain(letter)


def _backslashed_all(letter: str) -> _Options:
    if letter in "-_./:@%+=,":
        return _bytes(letter, f"\\{letter}")
    return _backslashed(letter)


def _dollar_quoted(letter: str) -> _Options:
    short = _DOLLAR_QUOTED.get(letter)
    if short:
        return _bytes(short)
    if letter.isascii():
        return _bytes(letter) if letter.isprintable() else _bytes(f"\\{ord(letter):03o}")
    octal = "".join(f"\\{byte:03o}" for byte in letter.encode(errors="surrogatepass"))
    return _bytes(letter, octal)


def _html(letter: str) -> _Options:
    return _bytes(*_HTML[letter]) if letter in _HTML else _plain(letter)


_SPELLINGS = (
    _plain, _json, _json_twice, _url, _single_quoted, _double_quoted, _backslashed, _backslashed_all, _dollar_quoted,
    _html,
)  # fmt: skip

_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _base64_options(numbers: Iterable[int], *, is_first: bool) -> _Options:
    found: list[str] = []
    for number in numbers:
        found += {62: ["+", "-", "%2B", "%2b"], 63: ["/", "_", "%2F", "%2f", "\\/"]}.get(number, [_BASE64[number]])
    breaks = ("",) if is_first else ("", "\n", "\r\n", "\\n")
    return _bytes(*(before + one for one in found for before in breaks))


def _base64_form(data: bytes, offset: int) -> _Form:
    """Return the base64 characters that hold the bytes, `offset` (0 to 2) bytes behind a border of three.

    It begins with the first character that holds nothing of what stands before: at an offset the character before it
    keeps two or four bits of the first byte and stays.
    """
    size = 8 * len(data)
    number = int.from_bytes(data, "big")
    first = -(-8 * offset // 6)
    form: list[_Options] = []
    for at in range(first, -(-(8 * offset + size) // 6)):
        behind = 8 * offset + size - 6 * (at + 1)  # bits of the value behind this character; negative: foreign ones
        known = (number >> behind if behind >= 0 else number << -behind) & 63
        foreign = max(0, -behind)
        form.append(_base64_options((known | mix for mix in range(1 << foreign)), is_first=at == first))
    return tuple(form)


def _hex_form(data: bytes) -> _Form:
    return tuple(_bytes(digit, digit.upper()) for digit in data.hex())


def forms_of(value: str) -> list[_Form]:
    """Return the forms in which a value is looked for."""
    texts = [value]
    trimmed = value.strip()
    if trimmed != value and len(trimmed) >= LEAST:
        texts.append(trimmed)
    whole = trimmed if len(trimmed) >= LEAST else value
    lines = [line.strip() for line in trimmed.splitlines()] if "\n" in trimmed else []
    texts += [line for line in lines if len(line) >= LEAST_LINE and not line.startswith("-----")]
    found: dict[_Form, None] = {}
    for text in texts:
        unix = text.replace("\r\n", "\n")
        for spell in _SPELLINGS:
            found[tuple(spell(letter) for letter in unix)] = None
    data = whole.encode(errors="surrogatepass")
    for offset in range(3):
        found[_base64_form(data, offset)] = None
    found[_hex_form(data)] = None
    return list(found)


class Masker:
    """Masks the given values in texts, bytes and JSON-able values. Make one for each run and keep it.

    Args:
        values: secrets; those shorter than `LEAST` characters are passed over, `unmasked` says how many.
    """

    def __init__(self, values: Iterable[str]) -> None:
        wanted = [value for value in dict.fromkeys(values) if value]
        good = [value for value in wanted if len(value.strip()) >= LEAST]
        self.unmasked = len(wanted) - len(good)
        forms = list(dict.fromkeys(form for value in good for form in forms_of(value)))
        # The longest first: where one value is the beginning of another, the longer is found.
        forms.sort(key=len, reverse=True)
        self._by_first: dict[int, list[_Form]] = {}
        for form in forms:
            for first in dict.fromkeys(option[0] for option in form[0]):
                self._by_first.setdefault(first, []).append(form)
        self._longest = max((sum(max(map(len, options)) for options in form) for form in forms), default=0)
        self._pattern = re.compile(self._expression()) if forms else None
        self._head_most = max((sum(max(map(len, one)) for one in form[:_HEAD]) for form in forms), default=0)
        firsts = b"".join(re.escape(bytes([byte])) for byte in self._by_first)
        self._first = re.compile(b"[" + firsts + b"]") if forms else None

    def __repr__(self) -> str:
        return "<Masker>"

    def __bool__(self) -> bool:
        return self._pattern is not None

    def _expression(self) -> bytes:
        """Return what finds the heads of all forms in one pass; the rest is compared where one is found."""
        branches = []
        for first, forms in sorted(self._by_first.items()):
            rests: dict[bytes, None] = {}
            for form in forms:
                heads = tuple(option[1:] for option in form[0] if option[0] == first)
                rests[b"".join(map(_one_of, (heads, *form[1:_HEAD])))] = None
            branches.append(re.escape(bytes([first])) + b"(?:" + b"|".join(rests) + b")")
        return b"|".join(branches)

    def spans(self, data: bytes) -> list[tuple[int, int]]:
        """Return where secrets stand, in order; those that overlap are one."""
        found: list[tuple[int, int]] = []
        if self._pattern is None:
            return found
        at = 0
        while match := self._pattern.search(data, at):
            begin = match.start()
            at = begin + 1
            end = max(_end_of(form, data, begin) for form in self._by_first[data[begin]])
            if end < 0:
                continue
            if found and begin < found[-1][1]:
                found[-1] = (found[-1][0], max(end, found[-1][1]))
            else:
                found.append((begin, end))
        return found

    def data(self, data: bytes) -> bytes:
        """Return the bytes with `***` for each secret."""
        spans = self.spans(data)
        if not spans:
            return data
        parts, at = [], 0
        for begin, end in spans:
            parts += [data[at:begin], MASK.encode()]
            at = end
        return b"".join([*parts, data[at:]])

    def text(self, text: str) -> str:
        """Return the text with `***` for each secret."""
        if self._pattern is None:
            return text
        data = text.encode(errors="surrogatepass")
        masked = self.data(data)
        return text if masked is data else masked.decode(errors="surrogatepass")

    def value(self, value: Any) -> Any:
        """Return a JSON-able value with every text in it masked, the names in objects too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key) if isinstance(key, str) else key: self.value(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value

    def stream(self) -> "MaskedStream":
        """Return what masks a stream that arrives in pieces."""
        return MaskedStream(self)

    def beginning_of_secret(self, data: bytes) -> int:
        """Return where an end of the data stands that may be the beginning of a secret; its length where none does."""
        if self._first is None or self._pattern is None:
            return len(data)
        # What is longer than a head has one; only the last bytes can be the beginning of a head.
        border = max(0, len(data) - self._head_most)
        at = max(0, len(data) - self._longest + 1)
        while match := self._pattern.search(data, at):
            at = match.start()
            if any(_end_of(form, data, at) == _CUT for form in self._by_first[data[at]]):
                return min(at, self._cut_from(data, border, at))
            at += 1
        return self._cut_from(data, border, len(data))

    def _cut_from(self, data: bytes, begin: int, end: int) -> int:
        assert self._first is not None
        for match in self._first.finditer(data, begin, end):
            at = match.start()
            if any(_end_of(form, data, at) == _CUT for form in self._by_first[data[at]]):
                return at
        return end


class MaskedStream:
    """Masks a stream in pieces of any size. What may be the beginning of a secret is held back, nothing else."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._held = b""
        self._covered = 0  # how much of what is held belongs to a secret for which `***` was given out already

    def __repr__(self) -> str:
        return "<MaskedStream>"

    def feed(self, piece: bytes) -> bytes:
        """Take a piece; return what may be shown now."""
        data = self._held + piece
        return self._give(data, self._masker.beginning_of_secret(data))

    def flush(self) -> bytes:
        """Return what was held back; the stream has ended or waits for an answer."""
        return self._give(self._held, len(self._held))

    def _give(self, data: bytes, until: int) -> bytes:
        spans = self._masker.spans(data)
        if self._covered:
            first_end = self._covered
            while spans and spans[0][0] < first_end:
                first_end = max(first_end, spans.pop(0)[1])
            spans.insert(0, (0, first_end))
        parts: list[bytes] = []
        at, covered = 0, 0
        for begin, end in spans:
            is_told = begin == 0 and self._covered > 0
            if begin >= until and not is_told:
                break
            parts.append(data[at:begin])
            if not is_told:
                parts.append(MASK.encode())
            at = end
            if end > until:
                covered = end - until
        if at < until:
            parts.append(data[at:until])
        self._held, self._covered = data[until:], covered
        return b"".join(parts)


def _one_of(options: Sequence[bytes]) -> bytes:
    if len(options) == 1:
        return re.escape(options[0])
    return b"(?:" + b"|".join(map(re.escape, options)) + b")"


def _end_of(form: _Form, data: bytes, at: int) -> int:
    """Return where the form ends that begins at `at`; `_CUT` where the data ends before it, `_OTHER` where it is none.

    No option is the beginning of another, so at most one fits.
    """
    size = len(data)
    for options in form:
        if at >= size:
            return _CUT
        for option in options:
            if data.startswith(option, at):
                at += len(option)
                break
        else:
            rest = data[at : at + _OPTION_MOST]
            is_cut = len(rest) < _OPTION_MOST and any(option.startswith(rest) for option in options)
            return _CUT if is_cut else _OTHER
    return at
