"""How the API reads bodies."""

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework import parsers
from rest_framework.exceptions import ParseError

from apps.core.json_text import parse_json


class JSONParser(parsers.JSONParser):
    """Parses JSON, and refuses what could neither be stored nor be named in an answer."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """Return what the body says.

        Raises:
            ParseError: it is no JSON, or none that can be used (400).
        """
        encoding = (parser_context or {}).get("encoding", settings.DEFAULT_CHARSET)
        try:
            return parse_json(stream.read().decode(encoding))
        except (ValueError, LookupError) as error:  # LookupError: it names no charset of texts
            raise ParseError(f"JSON parse error - {error}") from error
