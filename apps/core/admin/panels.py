"""The overview's panels: apps register them, so that the core knows none of the things it shows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from apps.core.admin.access import may
from apps.core.registries import Registry

TOP, TILES, MAIN, SIDE, FOOT = "top", "tiles", "main", "side", "foot"


@dataclass(frozen=True, slots=True)
class Panel:
    """A part of the overview.

    Args:
        area: TOP (what is wrong), TILES (figures), MAIN, SIDE or FOOT.
        template: what draws it, given `panel` (the context below) and the page's context.
        context: request -> facts; None where there is nothing to show.
        code: permission a person needs to see it.
        events: patterns of events after which it is drawn anew.
    """

    area: str
    order: int
    template: str
    context: Callable[[HttpRequest], dict[str, Any] | None]
    code: str
    events: str = ""


@dataclass(frozen=True, slots=True)
class Tile:
    """One figure of the overview.

    Args:
        title: what is counted.
        parts: (figure, word, tone) each, worst first; tone is "ok", "warn", "crit", "info" or "unknown".
        url: where a click leads.
    """

    title: str
    icon: str
    url: str
    parts: tuple[tuple[int, str, str], ...]

    @property
    def total(self) -> int:
        """Return the sum of the parts."""
        return sum(part[0] for part in self.parts)

    @property
    def worst(self) -> str:
        """Return the tone of the worst part that is not empty; "ok" for none."""
        tones = {tone for figure, _, tone in self.parts if figure}
        return next((tone for tone in ("crit", "warn", "unknown") if tone in tones), "ok")


panels: Registry[Panel] = Registry("panel")
#: request -> a figure, or None where there is nothing to count.
tiles: Registry[tuple[int, str, Callable[[HttpRequest], Tile | None]]] = Registry("tile")
#: request -> (done, title, text, url, label): the steps a newcomer takes, shown until all are done.
first_steps: Registry[tuple[int, str, Callable[[HttpRequest], "FirstStep | None"]]] = Registry("first step")


@dataclass(frozen=True, slots=True)
class FirstStep:
    """A step that a newcomer takes once."""

    done: bool
    title: str
    text: str
    url: str
    label: str


@dataclass(frozen=True, slots=True)
class SubjectPanel:
    """What an app says about another app's things on their pages.

    Args:
        kinds: kinds of things, e.g. "server".
        context: (request, kind, row) -> facts; None where there is nothing to show.
    """

    kinds: tuple[str, ...]
    template: str
    context: Callable[[HttpRequest, str, Any], dict[str, Any] | None]
    code: str


subject_panels: Registry[SubjectPanel] = Registry("subject panel")
#: request -> names for every page's template, e.g. the figure on the bell.
page_facts: Registry[Callable[[HttpRequest], dict[str, Any]]] = Registry("page fact")


@dataclass(frozen=True, slots=True)
class FormButton:
    """A further button below the form of another app's things: it sends what the form says to a page of its own.

    Args:
        model: "app.model" of the form.
        url: row (None while it is new) -> path that takes the form; "" where the button is not offered.
    """

    model: str
    label: str
    icon: str
    code: str
    url: Callable[[Any], str]


form_buttons: Registry[FormButton] = Registry("form button")


def buttons_of(request: HttpRequest, model: str, row: Any) -> list[dict[str, str]]:
    """Return the further buttons of a form that the person may press."""
    found = [one for _, one in form_buttons.items() if one.model == model and may(request, one.code)]
    shown = [{"label": one.label, "icon": one.icon, "url": one.url(row)} for one in found]
    return [one for one in shown if one["url"]]


def subject_drawn(request: HttpRequest, kind: str, row: Any) -> list[dict[str, Any]]:
    """Return the panels of other apps about one thing that the person may see."""
    found = []
    for name, panel in subject_panels.items():
        if kind in panel.kinds and may(request, panel.code):
            context = panel.context(request, kind, row)
            if context is not None:
                found.append({"name": name, "template": panel.template, "panel": context})
    return found


def drawn(request: HttpRequest, area: str) -> list[dict[str, Any]]:
    """Return the panels of an area that the person may see and that have something to show."""
    found = []
    for name, panel in sorted(panels.items(), key=lambda pair: pair[1].order):
        if panel.area != area or not may(request, panel.code):
            continue
        context = panel.context(request)
        if context is not None:
            found.append({"name": name, "template": panel.template, "panel": context, "events": panel.events})
    return found


def counted(request: HttpRequest) -> list[Tile]:
    """Return the overview's figures that the person may see."""
    found = [
        make(request) for _, (_, code, make) in sorted(tiles.items(), key=lambda pair: pair[1][0]) if may(request, code)
    ]
    return [tile for tile in found if tile is not None]


def steps_left(request: HttpRequest) -> list[FirstStep]:
    """Return all first steps that concern the person, or none once each is done."""
    found = [
        make(request)
        for _, (_, code, make) in sorted(first_steps.items(), key=lambda pair: pair[1][0])
        if may(request, code)
    ]
    steps = [step for step in found if step is not None]
    return steps if any(not step.done for step in steps) else []
