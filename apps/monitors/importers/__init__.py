"""Importers: one module and one `@register` for each format. A new module here is found by itself."""

from importlib import import_module
from pkgutil import iter_modules

from apps.monitors.importers.base import Draft, Importer, importers, register

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["Draft", "Importer", "importers", "register"]
