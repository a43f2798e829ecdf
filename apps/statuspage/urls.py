"""Public routes. The words below /status/ come before a page's name."""

from django.urls import re_path

from apps.statuspage.api import public

#: A page's name; `events` is a path of another app. The other words below /status/ come first.
SLUG = r"(?P<slug>(?!events/?$)[a-z0-9-]+)"

urlpatterns = [
    re_path(r"^status/?$", public.PageView.as_view(), name="status-page"),
    re_path(r"^status\.json/?$", public.JsonView.as_view(), name="status-json"),
    re_path(r"^status/feed\.atom/?$", public.FeedView.as_view(), name="status-feed"),
    re_path(r"^status/history/?$", public.HistoryView.as_view(), name="status-history"),
    re_path(r"^status/calendar\.ics/?$", public.CalendarView.as_view(), name="status-calendar"),
    re_path(r"^status/logo/?$", public.LogoView.as_view(), name="status-logo"),
    re_path(r"^status/subscribe/?$", public.SubscribeView.as_view(), name="status-subscribe"),
    re_path(r"^status/confirm/?$", public.ConfirmView.as_view(), name="status-confirm"),
    re_path(r"^status/unsubscribe/?$", public.UnsubscribeView.as_view(), name="status-unsubscribe"),
    re_path(rf"^status/{SLUG}/?$", public.NamedPageView.as_view(), name="status-named-page"),
    re_path(rf"^status/{SLUG}/status\.json/?$", public.NamedJsonView.as_view(), name="status-named-json"),
    re_path(rf"^status/{SLUG}/feed\.atom/?$", public.NamedFeedView.as_view(), name="status-named-feed"),
    re_path(rf"^status/{SLUG}/history/?$", public.NamedHistoryView.as_view(), name="status-named-history"),
    re_path(rf"^status/{SLUG}/calendar\.ics/?$", public.NamedCalendarView.as_view(), name="status-named-calendar"),
    re_path(rf"^status/{SLUG}/logo/?$", public.NamedLogoView.as_view(), name="status-named-logo"),
]
