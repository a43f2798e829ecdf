"""Bases of the API's views."""

import json
from typing import Any, ClassVar

from django.db import IntegrityError, models, transaction
from django.utils.crypto import salted_hmac
from rest_framework import serializers as drf_serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from apps.core import errors
from apps.core.api.callers import caller_of
from apps.core.models import IdempotencyRecord
from apps.core.principals import Principal


class _Manners:
    """What all views share: permission codes, rate-limit headers, idempotent creation."""

    #: action or method -> permission code, or "public".
    codes: ClassVar[dict[str, str]] = {}
    #: actions whose answer shows a secret once; stored without it.
    secret_answers: ClassVar[frozenset[str]] = frozenset()
    idempotent_actions: ClassVar[frozenset[str]] = frozenset({"create", "post"})

    def principal(self) -> Principal:
        """Return the caller."""
        caller = caller_of(self.request)  # type: ignore[attr-defined]
        assert caller is not None, "this action is not public"
        return caller

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add the rate limit's figures."""
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        figures = getattr(getattr(request, "_request", request), "rate_limit", None)
        if figures:
            response["X-RateLimit-Limit"], response["X-RateLimit-Remaining"], response["X-RateLimit-Reset"] = map(
                str, figures
            )
        return response


def clean(serializer_class: type[drf_serializers.Serializer[Any]], data: Any, **options: Any) -> dict[str, Any]:
    """Return the validated values of `data`.

    Raises:
        rest_framework.exceptions.ValidationError: rendered as 422.
    """
    serializer = serializer_class(data=data, **options)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


class ApiView(_Manners, APIView):
    """A plain view; `codes` maps methods ("get") to permission codes."""


class ApiViewSet(_Manners, GenericViewSet[Any]):
    """A viewset; `codes` maps actions ("list") to permission codes. Rows come from `visible_to` of the queryset."""

    lookup_value_regex = "[^/]+"

    def get_queryset(self) -> Any:
        """Return the rows that the caller may see."""
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return queryset.none()
        return queryset.visible_to(self.principal()) if hasattr(queryset, "visible_to") else queryset

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return a page of the rows, filtered."""
        rows = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        assert rows is not None
        return self.get_paginated_response(self.get_serializer(rows, many=True).data)

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Return one row with its ETag."""
        row = self.get_object()
        return with_etag(Response(self.get_serializer(row).data), row)

    def get_object(self) -> Any:
        """Return the row named in the path.

        Raises:
            NotFound: no such row among those the caller may see (404).
        """
        try:
            row = self.filter_queryset_for_object().get(
                **{self.lookup_field: self.kwargs[self.lookup_url_kwarg or self.lookup_field]}
            )
        except (models.ObjectDoesNotExist, ValueError, TypeError) as error:
            raise errors.NotFound("There is no such thing, or you may not see it.") from error
        except Exception as error:  # django.core.exceptions.ValidationError of a malformed uuid
            if type(error).__name__ == "ValidationError":
                raise errors.NotFound("There is no such thing, or you may not see it.") from error
            raise
        self.check_object_permissions(self.request, row)
        return row

    def filter_queryset_for_object(self) -> Any:
        """Return the rows among which `get_object` looks; list filters don't apply."""
        return self.get_queryset()


def etag_of(row: Any) -> str:
    """Return the strong ETag of a row that people edit."""
    return f'"{row.pk}-{row.revision}"'


def with_etag(response: Response, row: Any) -> Response:
    """Put the row's ETag on the answer where it has a revision."""
    if hasattr(row, "revision"):
        response["ETag"] = etag_of(row)
    return response


def expected_revision(request: Request, row: Any) -> int | None:
    """Return the revision that `If-Match` demands, None where the header is absent.

    Raises:
        PreconditionFailed: the header names another state of the row (412).
    """
    header = request.headers.get("If-Match")
    if not header or header.strip() == "*":
        return None
    if etag_of(row) not in [part.strip() for part in header.split(",")]:
        raise errors.PreconditionFailed(
            "Somebody changed this since you read it; read it again and repeat your change.",
            details={"etag": etag_of(row)},
        )
    return int(row.revision)


def idempotent(action: Any) -> Any:
    """Decorate a create method: an `Idempotency-Key` seen before gets its first answer again.

    The record is written in the transaction of the work, so a crash keeps both or none. The same key with another
    body is
    422. Answers of views whose `secret_answers` names the action are kept without their body.
    """

    def wrapped(self: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")[:200]
        if not key:
            return action(self, request, *args, **kwargs)
        caller = caller_of(request)
        route, principal = (
            f"{request.method} {request.path.rstrip('/')}"[:200],
            caller.pk if caller else "anonymous",
        )
        # Keyed: a body may hold a password that a plain hash would let a thief of the database guess.
        body_text = json.dumps(request.data, sort_keys=True, default=str)
        digest = salted_hmac("idempotency", body_text, algorithm="sha256").hexdigest()

        def known() -> Response | None:
            record = IdempotencyRecord.objects.filter(principal=principal, route=route, key=key).first()
            if record is None:
                return None
            if record.body_hash != digest:
                raise errors.Invalid(
                    {"Idempotency-Key": "was used before with another body"},
                    where="header",
                    code="idempotency_key_reused",
                )
            return Response(record.body, status=record.status, headers={"Idempotent-Replayed": "true"})

        before = known()
        if before is not None:
            return before
        try:
            with transaction.atomic():
                response = action(self, request, *args, **kwargs)
                if response.status_code < 400:
                    name = getattr(self, "action", None) or (request.method or "").lower()
                    body = (
                        None if name in self.secret_answers else json.loads(json.dumps(response.data, cls=JSONEncoder))
                    )
                    IdempotencyRecord.objects.create(
                        principal=principal,
                        route=route,
                        key=key,
                        body_hash=digest,
                        status=response.status_code,
                        body=body,
                    )
                return response
        except IntegrityError:
            before = known()  # the same call ran at the same time and won
            if before is None:
                raise
            return before

    wrapped.__name__ = getattr(action, "__name__", "create")
    wrapped.__doc__ = action.__doc__
    return wrapped
