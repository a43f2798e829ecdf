"""Check types: one module and one `@register` each. A new module here is found by itself."""

from importlib import import_module
from pkgutil import iter_modules

from apps.monitors.checks.base import (
    CertificateSeen,
    CheckConfig,
    CheckOutcome,
    CheckType,
    as_expected,
    check_types,
    register,
    run_check,
)
from apps.monitors.checks.options import Option

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = [
    "CertificateSeen",
    "CheckConfig",
    "CheckOutcome",
    "CheckType",
    "Option",
    "as_expected",
    "check_types",
    "register",
    "run_check",
]
