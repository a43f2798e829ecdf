"""The OpenAPI description as it is served."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request


@cache
def _schema() -> Any:
    return SpectacularAPIView.generator_class().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]


@cache
def _rendered(renderer: Callable[[], BaseRenderer]) -> str | bytes:
    return renderer().render(_schema(), renderer_context={})


class DescriptionView(SpectacularAPIView):
    """The description, made once a process: it is the same for everybody, and takes seconds to make."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        """Return it in the form that was asked for."""
        renderer: Any = request.accepted_renderer
        kind: Any = type(renderer)
        charset = f"; charset={renderer.charset}" if renderer.charset else ""
        answer = HttpResponse(_rendered(kind), content_type=f"{renderer.media_type}{charset}")
        answer["Content-Disposition"] = f'inline; filename="Watchkeeper.{renderer.format}"'
        return answer
