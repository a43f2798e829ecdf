"""Routers whose paths answer with and without a trailing slash."""

from rest_framework.routers import SimpleRouter


class ApiRouter(SimpleRouter):
    """A router with an optional trailing slash; the API root page and format suffixes are absent."""

    def __init__(self) -> None:
        super().__init__(trailing_slash="/?")  # type: ignore[arg-type]
        self.trailing_slash = "/?"
        # PUT is partial everywhere.
        for route in self.routes:
            mapping = getattr(route, "mapping", None)
            if isinstance(mapping, dict) and mapping.get("put") == "update":
                mapping["put"] = "partial_update"
                mapping.pop("patch", None)
