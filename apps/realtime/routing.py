"""Paths of the sockets."""

from channels.routing import URLRouter
from django.urls import re_path

from apps.agents.link.socket import agent_socket
from apps.realtime.sockets import event_socket, unknown_socket
from apps.realtime.terminal import terminal_socket

sockets = URLRouter(
    [
        re_path(r"^ws/?$", event_socket),  # type: ignore[arg-type]
        re_path(r"^ws/servers/(?P<id>[^/]+)/terminal/?$", terminal_socket),  # type: ignore[arg-type]
        re_path(r"^ws/agent/?$", agent_socket),  # type: ignore[arg-type]
        re_path(r"^", unknown_socket),  # type: ignore[arg-type]
    ]
)
