"""Logos: a PNG, or an SVG cut to what only draws."""

import re
import struct
from xml.etree import ElementTree

from apps.core.errors import Invalid

MOST_BYTES = 200_000
MOST_PIXELS = 2_000
PNG, SVG = "image/png", "image/svg+xml"

_NAMESPACE = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_ELEMENTS = frozenset(
    {
        "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "defs",
        "linearGradient", "radialGradient", "stop", "clipPath", "mask", "title", "desc", "use", "symbol",
    }
)  # fmt: skip
_ATTRIBUTES = frozenset(
    {
        "id", "viewBox", "width", "height", "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "fx", "fy",
        "d", "points", "transform", "fill", "fill-rule", "fill-opacity", "stroke", "stroke-width", "stroke-linecap",
        "stroke-linejoin", "stroke-dasharray", "stroke-opacity", "stroke-miterlimit", "opacity", "offset",
        "stop-color", "stop-opacity", "gradientUnits", "gradientTransform", "spreadMethod", "clip-path", "clip-rule",
        "mask", "clipPathUnits", "maskUnits", "preserveAspectRatio", "font-family", "font-size", "font-weight",
        "font-style", "text-anchor", "letter-spacing", "dominant-baseline", "version",
    }
)  # fmt: skip
# A reference to something else than a part of the picture itself would be fetched.
_REFERENCE = re.compile(r"url\(\s*['\"]?\s*(?!#)", re.IGNORECASE)


def clean_logo(body: bytes) -> tuple[str, bytes]:
    """Return (content type, bytes) of a logo that is safe to show.

    Raises:
        Invalid: too large, neither PNG nor SVG, damaged (422).
    """
    if not body:
        raise Invalid({"logo": "is empty; give a PNG or SVG picture"})
    if len(body) > MOST_BYTES:
        raise Invalid({"logo": f"has {len(body)} bytes; at most {MOST_BYTES} are taken"})
    if body.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG, _png(body)
    if b"<svg" in body[:2000].lower() or b":svg" in body[:2000].lower():
        return SVG, _svg(body)
    raise Invalid({"logo": "is neither a PNG nor an SVG picture"})


def _png(body: bytes) -> bytes:
    """Keep the chunks that draw; texts and other additions go."""
    kept, at, ended = bytearray(body[:8]), 8, False
    while at + 12 <= len(body) and not ended:
        length, name = struct.unpack(">I4s", body[at : at + 8])
        chunk = body[at : at + 12 + length]
        if len(chunk) != 12 + length:
            break
        if at == 8:
            if name != b"IHDR" or length != 13:
                break
            width, height = struct.unpack(">II", chunk[8:16])
            if not 0 < width <= MOST_PIXELS or not 0 < height <= MOST_PIXELS:
                raise Invalid({"logo": f"is {width} × {height} pixels; at most {MOST_PIXELS} each way are taken"})
        if name in (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"sRGB", b"cHRM"):
            kept += chunk
        ended = name == b"IEND"
        at += 12 + length
    if not ended:
        raise Invalid({"logo": "is a damaged PNG picture"})
    return bytes(kept)


def _svg(body: bytes) -> bytes:
    text = body.decode("utf-8-sig", errors="replace")
    if "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL).replace("<![CDATA[", ""):
        raise Invalid({"logo": "has a document type or entities; save it as plain SVG"})
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        line, column = error.position
        raise Invalid({"logo": f"is no well-formed SVG: line {line}, column {column}"}) from error
    if root.tag != f"{{{_NAMESPACE}}}svg":
        raise Invalid({"logo": f'must have <svg xmlns="{_NAMESPACE}"> as its outermost element'})
    _cut(root)
    ElementTree.register_namespace("", _NAMESPACE)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _cut(element: ElementTree.Element) -> None:
    for name in list(element.attrib):
        value = element.attrib[name]
        is_own_part = name in ("href", _LINK) and value.strip().startswith("#")
        if not is_own_part and (name not in _ATTRIBUTES or _REFERENCE.search(value)):
            del element.attrib[name]
    for child in list(element):
        tag = child.tag if isinstance(child.tag, str) else ""
        if tag.removeprefix(f"{{{_NAMESPACE}}}") in _ELEMENTS and tag.startswith(f"{{{_NAMESPACE}}}"):
            _cut(child)
        else:
            element.remove(child)
