"""The sweep that ends our blindness: while we are cut off, it is asked again and again whether we still are."""

from apps.core.conditions import lasting_condition
from apps.core.pulse import sweep
from apps.core.runner import runner
from apps.monitors.connectivity import BLIND, guard


@sweep("monitors.connectivity", every_s=5, shared=True)
def look_again() -> None:
    """Ask the witnesses while we are blind, also where another worker found it out."""
    if guard().blind or lasting_condition(BLIND) is not None:
        runner().submit("connectivity", guard().look_again)
