"""Paths of the sockets."""

from channels.routing import URLRouter
from django.urls import re_path

from apps.realtime.sockets import event_socket, unknown_socket

sockets = URLRouter(
    [
        re_path(r"^ws/?$", event_socket),  # type: ignore[arg-type]
        re_path(r"^", unknown_socket),  # type: ignore[arg-type]
    ]
)
