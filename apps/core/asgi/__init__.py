"""The edge: the one ASGI layer in front of Django, the sockets and the hot paths."""

from apps.core.asgi.edge import Edge
from apps.core.asgi.frames import SocketProtocol
from apps.core.asgi.quick import QuickProtocol
from apps.core.asgi.switch import Switch

__all__ = ["Edge", "QuickProtocol", "SocketProtocol", "Switch"]
