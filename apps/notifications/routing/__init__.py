"""Who is told of a fact, and when: decided from the routes and the ledger, without writing anything.

`services.routing` writes what follows; `selectors.explain_routing` shows it.
"""

from apps.notifications.routing.explain import Answer, explain
from apps.notifications.routing.facts import FactLike, MadeFact
from apps.notifications.routing.matching import why_not
from apps.notifications.routing.past import Past
from apps.notifications.routing.plans import Plan, asked_rules, plan_for
from apps.notifications.routing.routes import ChannelRoute, Routes, RuleRoute, current_routes, read_routes

__all__ = [
    "Answer",
    "ChannelRoute",
    "FactLike",
    "MadeFact",
    "Past",
    "Plan",
    "Routes",
    "RuleRoute",
    "asked_rules",
    "current_routes",
    "explain",
    "plan_for",
    "read_routes",
    "why_not",
]
