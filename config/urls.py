"""URL collection: every app offers `api/urls.py` with its patterns below `/api/v1/`."""

from importlib import import_module
from importlib.util import find_spec

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularRedocView, SpectacularSwaggerSplitView

import config.celery  # noqa: F401  the app that `shared_task`s belong to
from apps.core.api.description import DescriptionView
from apps.core.api.exceptions import not_found_view


def _api_patterns() -> list[URLPattern | URLResolver]:
    found: list[URLPattern | URLResolver] = []
    for app in settings.LOCAL_APPS:
        if find_spec(f"{app}.api") and find_spec(f"{app}.api.urls"):
            found += import_module(f"{app}.api.urls").urlpatterns
    return found


def _root_patterns() -> list[URLPattern | URLResolver]:
    found: list[URLPattern | URLResolver] = []
    for app in settings.LOCAL_APPS:
        if find_spec(f"{app}.urls"):
            found += import_module(f"{app}.urls").urlpatterns
    return found


urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(url="/admin/"), name="home"),
    path("favicon.ico", RedirectView.as_view(url="/static/console/icon.svg"), name="favicon"),
    *_root_patterns(),
    path("api/v1/", include(_api_patterns())),
    re_path(r"^api/v1/schema/?$", DescriptionView.as_view(), name="schema"),
    re_path(r"^(?:api/v1/)?docs/?$", SpectacularSwaggerSplitView.as_view(url_name="schema"), name="docs"),
    re_path(r"^redoc/?$", SpectacularRedocView.as_view(url_name="schema"), name="redoc"),
    re_path(r"^api/.*$", not_found_view),
    path("admin/", admin.site.urls),
]
