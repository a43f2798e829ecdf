"""Transports: the ways out. A kind is one module of this package with one `@register`; nothing else names it."""

from importlib import import_module
from pkgutil import iter_modules

from apps.notifications.transports.base import Field, Message, Outcome, Transport, register, transports

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Field", "Message", "Outcome", "Transport", "register", "transports"]
