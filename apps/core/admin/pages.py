"""Pages of the console that belong to no single model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from apps.core.admin.access import require
from apps.core.registries import Registry


@dataclass(frozen=True, slots=True)
class Page:
    """A page: its path below /admin/, its name, the code it needs ("" for everybody who is signed in), its view."""

    route: str
    name: str
    code: str
    view: Callable[..., HttpResponse]


pages: Registry[Page] = Registry("console page")


def page(
    route: str, name: str, *, code: str = ""
) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """Register a view as a page of the console: `admin:<name>` at /admin/<route>."""

    def register(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if code:
                require(request, code)
            return view(request, *args, **kwargs)

        guarded.__name__, guarded.__doc__ = view.__name__, view.__doc__
        pages.register(name, Page(route, name, code, guarded))
        return guarded

    return register


def render(request: HttpRequest, template: str, title: str, *, status: int = 200, **context: Any) -> TemplateResponse:
    """Return a page in the console's frame."""
    return TemplateResponse(
        request, template, {**admin.site.each_context(request), "title": title, **context}, status=status
    )
