"""The OpenAPI description: paths without the optional slash, the API's errors, our credentials."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema


def strip_optional_slash(endpoints: list[Any]) -> list[Any]:
    """Describe each path once, without its optional slash."""
    return [
        (path.replace("/?", "").rstrip("/") or "/", regex, method, callback)
        for path, regex, method, callback in endpoints
    ]


class ConsoleAutoSchema(AutoSchema):
    """Groups operations by app."""

    def get_tags(self) -> list[str]:
        """Return the app of the view."""
        parts = type(self.view).__module__.split(".")
        return [parts[1] if parts[0] == "apps" else "core"]


class CredentialScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The credentials that count."""

    target_class = "apps.accounts.authentication.CredentialAuthentication"
    name = ["bearer", "apiKey"]

    def get_security_definition(self, auto_schema: Any) -> list[dict[str, Any]]:
        """Describe JWT and API key."""
        return [
            {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
            {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        ]
