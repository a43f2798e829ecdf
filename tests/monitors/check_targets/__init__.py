"""Targets of every check type, each in a module of the type's name: found by itself, demanded by the contract test.

`targets()` is a context manager that starts real servers and gives configurations, as `make_config` takes them, by what
becomes of them:

    good        up
    dead        down; the server is not there
    hanging     down when the time-out is over; it never answers
    forbidden   unknown; the policy refuses it

and `VALUES`, one configuration as an operator would write it, with every secret option filled in.
"""

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

MODULES: dict[str, ModuleType] = {
    one.name: import_module(f"{__name__}.{one.name}") for one in iter_modules(__path__) if one.name != "pem"
}  # fmt: skip
