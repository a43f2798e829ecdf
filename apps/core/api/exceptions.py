"""Every refusal in one shape: {"detail", "code", "details", "error": {"code", "message"}}."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.exceptions import ValidationError as DjangoValidationError
from django.http import Http404, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions as drf
from rest_framework.response import Response

from apps.core import errors

log = logging.getLogger(__name__)


def body_of(
    detail: Any, code: str, details: dict[str, Any] | None = None, message: str | None = None
) -> dict[str, Any]:
    """Return the body of a refusal."""
    return {
        "detail": detail,
        "code": code,
        "details": details or {},
        "error": {
            "code": code,
            "message": message or (detail if isinstance(detail, str) else "Some values are wrong."),
        },
    }


def _flatten(problem: Any, loc: list[str | int]) -> list[dict[str, Any]]:
    if isinstance(problem, dict):
        return [
            row
            for key, value in problem.items()
            for row in _flatten(value, loc if key == "non_field_errors" else [*loc, key])
        ]
    if isinstance(problem, list):
        rows: list[dict[str, Any]] = []
        for index, value in enumerate(problem):
            rows += _flatten(value, [*loc, index] if isinstance(value, dict) and value else loc)
        return rows
    return [{"loc": loc, "msg": str(problem), "type": getattr(problem, "code", None) or "invalid"}]


def invalid_body(problems: Any, where: str = "body", code: str = "validation_error") -> dict[str, Any]:
    """Return the body of a 422; `detail` is a list of {"loc", "msg", "type"}."""
    rows = _flatten(problems, [where])
    message = "; ".join(f"{'.'.join(str(part) for part in row['loc'][1:]) or where}: {row['msg']}" for row in rows[:5])
    return body_of(rows, code, {"count": len(rows)}, message)


def render(error: errors.DomainError) -> tuple[int, dict[str, Any], dict[str, str]]:
    """Return status, body and headers of a domain error; the raw ASGI applications use it too."""
    headers: dict[str, str] = {}
    if isinstance(error, errors.Invalid):
        problems = {tuple(field.split(".")) if field else (): texts for field, texts in error.problems.items()}
        rows = [
            {"loc": [error.where, *path], "msg": text, "type": error.code}
            for path, texts in problems.items()
            for text in texts
        ]
        return error.status, body_of(rows, error.code, error.details, str(error)), headers
    if isinstance(error, errors.TooMany):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, errors.Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return error.status, body_of(error.detail, error.code, error.details), headers


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Render any exception of a view; unknown ones become a 500 without a trace."""
    if isinstance(error, errors.DomainError):
        status, body, headers = render(error)
        return Response(body, status=status, headers=headers)
    if isinstance(error, Http404):
        return Response(body_of("There is no such thing.", "not_found"), status=404)
    if isinstance(error, PermissionDenied):
        return Response(body_of("Your role does not allow this.", "forbidden"), status=403)
    if isinstance(error, DjangoValidationError):
        return Response(
            invalid_body(error.message_dict if hasattr(error, "error_dict") else error.messages), status=422
        )
    if isinstance(error, drf.ValidationError):
        # What is wrong with a request to read is one of its filters.
        where = "query" if getattr(context.get("request"), "method", "") in ("GET", "HEAD") else "body"
        return Response(invalid_body(error.detail, where), status=422)
    if isinstance(error, drf.APIException):
        return _framework_error(error)
    request = context.get("request")
    log.exception("unhandled error", extra={"facts": {"path": getattr(request, "path", "")}})
    return Response(
        body_of("Something went wrong on our side; it is logged with this request's id.", "internal_error"), status=500
    )


def _framework_error(error: drf.APIException) -> Response:
    headers: dict[str, str] = {}
    codes = {
        drf.ParseError: ("bad_request", 400),
        drf.NotAuthenticated: ("unauthenticated", 401),
        drf.AuthenticationFailed: ("unauthenticated", 401),
        drf.PermissionDenied: ("forbidden", 403),
        drf.NotFound: ("not_found", 404),
        drf.MethodNotAllowed: ("method_not_allowed", 405),
        drf.NotAcceptable: ("not_acceptable", 406),
        drf.UnsupportedMediaType: ("unsupported_media_type", 415),
        drf.Throttled: ("rate_limited", 429),
    }
    code, status = codes.get(type(error), ("error", error.status_code))
    detail = str(error.detail)
    if isinstance(error, drf.NotAuthenticated | drf.AuthenticationFailed):
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, drf.Throttled):
        wait = max(1, round(getattr(error, "wait", None) or 1))
        headers["Retry-After"] = str(wait)
        detail = f"Too many requests; try again in {wait} s."
    return Response(body_of(detail, code), status=status, headers=headers)


@csrf_exempt  # a program that mistypes a path is told so, whatever its method
def not_found_view(request: Any, exception: Exception | None = None) -> JsonResponse:
    """Answer an unknown path under /api in the API's shape."""
    return JsonResponse(body_of("There is no such path.", "not_found"), status=404)
