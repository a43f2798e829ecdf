"""Errors of the domain. Each knows its HTTP status and its code; the API renders them all in one shape."""

from collections.abc import Mapping, Sequence
from typing import Any


class DomainError(Exception):
    """Base of all refusals a caller can understand.

    Args:
        detail: one English sentence that says what to do.
        code: machine-readable name, snake_case.
        details: more facts, JSON-able.
    """

    status = 400
    code = "bad_request"

    def __init__(self, detail: str, *, code: str | None = None, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.details = dict(details or {})


class NotFound(DomainError):
    """404: there is no such thing, or the caller may not know of it."""

    status = 404
    code = "not_found"


class Conflict(DomainError):
    """409: the state forbids it."""

    status = 409
    code = "conflict"


class Forbidden(DomainError):
    """403: the caller may not."""

    status = 403
    code = "forbidden"


class Unauthenticated(DomainError):
    """401: no credential, or one that counts no more."""

    status = 401
    code = "unauthenticated"


class PreconditionFailed(DomainError):
    """412: the row was changed since it was read."""

    status = 412
    code = "precondition_failed"


class TooLarge(DomainError):
    """413: the body is over its limit."""

    status = 413
    code = "too_large"


class TooMany(DomainError):
    """429: over a limit; `retry_after_s` says when to try again."""

    status = 429
    code = "rate_limited"

    def __init__(self, detail: str, *, retry_after_s: int, code: str | None = None) -> None:
        super().__init__(detail, code=code, details={"retry_after_s": retry_after_s})
        self.retry_after_s = retry_after_s


class Unavailable(DomainError):
    """503: not now; the detail names the part that is missing."""

    status = 503
    code = "unavailable"


class Invalid(DomainError):
    """422: a value is wrong.

    Args:
        problems: field name -> sentence; a nested field is "config.url". Put "" for the body as a whole.
    """

    status = 422
    code = "validation_error"

    def __init__(
        self, problems: Mapping[str, str | Sequence[str]], *, where: str = "body", code: str | None = None
    ) -> None:
        super().__init__("Some values are wrong.", code=code)
        self.problems: dict[str, list[str]] = {
            field: [text] if isinstance(text, str) else list(text) for field, text in problems.items()
        }
        self.where = where

    def __str__(self) -> str:
        return "; ".join(
            f"{field}: {' '.join(texts)}" if field else " ".join(texts) for field, texts in self.problems.items()
        )
