"""The only base of the console's ModelAdmins: a code per action, services for every change, no back doors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from unfold.admin import ModelAdmin

from apps.core.admin.access import may, require
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.paginator import CappedPaginator
from apps.core.admin.panels import buttons_of, subject_drawn
from apps.core.admin.zones import zone_of
from apps.core.errors import DomainError


@dataclass(frozen=True, slots=True)
class Transition:
    """A button on a thing's page: a service that moves it from one state to another.

    Args:
        run: (request, row, note) -> sentence shown afterwards, or a response of its own.
        offered: row -> whether the button is shown.
        ask: question before it is done; "" for none.
        note: a box for a note goes with it.
        tone: "primary", "plain" or "danger".
    """

    name: str
    label: str
    icon: str
    code: str
    run: Callable[[HttpRequest, Any, str], str | HttpResponse]
    offered: Callable[[Any], bool] = lambda row: True
    ask: str = ""
    note: bool = False
    tone: str = "plain"


class ConsoleChangeList(ChangeList):
    """A list whose rows lead to a thing's page."""

    def url_for_result(self, result: models.Model) -> str:
        """Return the path of the row's page."""
        console: Any = self.model_admin
        path: str = console.page_of(result)
        return path


class ConsoleAdmin(ModelAdmin):
    """Lists, pages and forms of one model.

    `codes` maps "view", "add", "change", "delete" to permission codes; an action without one is not offered to anybody.
    Subclasses set `form_class`, implement `create`, `update` and `remove` by calling services, and `facts` or
    `detail_template` + `detail_context` for the page of one thing.
    """

    codes: ClassVar[Mapping[str, str]] = {}
    icon = "list"
    #: Kind of `core.registries.subjects`; other apps' panels about such a thing stand on its page.
    subject_kind = ""
    list_title = ""
    intro = ""
    #: (icon, title, text) of the list while it is empty.
    empty: ClassVar[tuple[str, str, str]] = ("inbox", "Nothing here yet", "")
    add_label = ""
    add_save_label = ""  # of the button below the form of a new one, where it does something else yet
    form_class: ClassVar[type[ConsoleForm] | None] = None
    detail_template = "console/detail.html"
    transitions: ClassVar[Sequence[Transition]] = ()
    #: Events after which an open list or page is drawn anew.
    live_events = ""
    list_before_rows = ""
    list_actions_template = ""
    page_scripts: ClassVar[Sequence[str]] = ()

    change_list_template = "console/list.html"
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    actions = None
    list_editable = ()
    save_as = False
    search_help_text = ""

    # --- who may ---------------------------------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Answer by our own code."""
        return may(request, self.codes.get("view"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Answer by our own code."""
        return self.form_class is not None and may(request, self.codes.get("add"))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Answer by our own code."""
        return self.form_class is not None and may(request, self.codes.get("change"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Answer by our own code."""
        return may(request, self.codes.get("delete"))

    def has_module_permission(self, request: HttpRequest) -> bool:
        """Answer by our own code."""
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the rows that the person may see."""
        rows = self.model._default_manager.all()
        if hasattr(rows, "visible_to"):
            rows = rows.visible_to(require(request, self.codes.get("view")))
        return rows

    # --- back doors of the stock admin, shut -----------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Refuse: the console saves through services."""
        raise NotImplementedError("The console saves through services.")

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Refuse: the console removes through services."""
        raise NotImplementedError("The console removes through services.")

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        """Refuse: nothing is removed in bulk."""
        raise NotImplementedError("The console removes nothing in bulk.")

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write nothing: services emit events, and those are the audit trail."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Write nothing: services emit events, and those are the audit trail."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Write nothing: services emit events, and those are the audit trail."""

    # --- what subclasses say ---------------------------------------------------------------------------------

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Any:
        """Create through a service; return the row, or a response to show instead of its page."""
        raise NotImplementedError

    def update(self, request: HttpRequest, row: Any, data: dict[str, Any]) -> Any:
        """Change through a service."""
        raise NotImplementedError

    def remove(self, request: HttpRequest, row: Any) -> None:
        """Remove through a service."""
        raise NotImplementedError

    def initial(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the form shows of a row, or of the query for a new one."""
        if row is None:
            return dict(request.GET.items())
        assert self.form_class is not None
        return {name: getattr(row, name) for name in self.form_class.base_fields if hasattr(row, name)}

    def form_for(self, request: HttpRequest, row: Any) -> type[ConsoleForm]:
        """Return the form for a new row (None) or an old one."""
        assert self.form_class is not None
        return self.form_class

    def facts(self, request: HttpRequest, row: Any) -> list[tuple[str, Any]]:
        """Return what the plain page of a row says: (label, value)."""
        return []

    def detail_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the template of a row's page needs beyond the row."""
        return {}

    def title_of(self, row: Any) -> str:
        """Return the headline of a row's page."""
        return str(row)

    def row_tone(self, row: Any) -> str:
        """Return the tone that marks a row of the list: "crit", "warn", "muted" or ""."""
        return ""

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Fetch for the whole page of a list what its columns show, in a fixed number of queries."""

    def delete_warning(self, row: Any) -> str:
        """Return what removing the row means."""
        return "This can't be undone."

    # --- paths -----------------------------------------------------------------------------------------------

    def _name(self, view: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{view}"

    def path_to(self, view: str, row: Any = None) -> str:
        """Return the path of "changelist", "add", or of "detail", "change", "delete" of a row."""
        args = [quote(row.pk)] if row is not None else []
        return reverse(f"admin:{self._name(view)}", args=args)

    def page_of(self, row: Any) -> str:
        """Return the path of a row's page."""
        return self.path_to("detail", row)

    def get_urls(self) -> list[URLPattern]:
        """Return the paths of the list, the forms, the page and the buttons."""

        def wrap(view: Any) -> Any:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return self.admin_site.admin_view(view)(*args, **kwargs)

            wrapper.model_admin = self  # type: ignore[attr-defined]
            return update_wrapper(wrapper, view)

        return [
            path("", wrap(self.changelist_view), name=self._name("changelist")),
            path("add/", wrap(self.add_view), name=self._name("add")),
            *[path(route, wrap(view), name=self._name(name)) for route, name, view in self.more_paths()],
            path("<str:object_id>/change/", wrap(self.change_view), name=self._name("change")),
            path("<str:object_id>/delete/", wrap(self.delete_view), name=self._name("delete")),
            path("<str:object_id>/do/<str:name>/", wrap(self.do_view), name=self._name("do")),
            path("<str:object_id>/", wrap(self.detail_view), name=self._name("detail")),
        ]

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return further (route, name, view) of this model."""
        return []

    # --- views -----------------------------------------------------------------------------------------------

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return the list's class."""
        return ConsoleChangeList

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list."""
        require(request, self.codes.get("view"))
        context = {
            "title": self.list_title or str(self.opts.verbose_name_plural).capitalize(),
            "model_admin": self,
            "add_url": self.path_to("add") if self.has_add_permission(request) else "",
            "add_label": self.add_label or f"Add {self.opts.verbose_name}",
            **self.list_context(request),
            **(extra_context or {}),
        }
        response: HttpResponse = super().changelist_view(request, context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            cl = response.context_data["cl"]
            cl.result_list = list(cl.result_list)
            self.prepare_rows(request, cl.result_list)
            response.context_data["title"] = context["title"]
        return response

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the list's page needs beyond its rows."""
        return {}

    def row_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """Return the row of that key among those the person may see.

        Raises:
            Http404: there is none (404).
        """
        try:
            return self.get_queryset(request).get(pk=unquote(object_id))
        except (models.ObjectDoesNotExist, ValueError, ValidationError) as error:
            raise Http404("There is no such thing, or you may not see it.") from error

    def page_context(self, request: HttpRequest, **more: Any) -> dict[str, Any]:
        """Return what every page of this model needs."""
        return {
            **self.admin_site.each_context(request),
            "opts": None,
            "model_admin": self,
            "list_url": self.path_to("changelist"),
            "list_title": self.list_title or str(self.opts.verbose_name_plural).capitalize(),
            **more,
        }

    def detail_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Show the page of one thing."""
        require(request, self.codes.get("view"))
        row = self.row_or_404(request, object_id)
        context = self.page_context(
            request,
            title=self.title_of(row),
            row=row,
            facts=self.facts(request, row),
            panels=subject_drawn(request, self.subject_kind, row),
            transitions=[
                {"transition": one, "url": reverse(f"admin:{self._name('do')}", args=[quote(row.pk), one.name])}
                for one in self.transitions
                if may(request, one.code) and one.offered(row)
            ],
            change_url=self.path_to("change", row) if self.has_change_permission(request, row) else "",
            delete_url=self.path_to("delete", row) if self.has_delete_permission(request, row) else "",
        )
        context.update(self.detail_context(request, row))
        return TemplateResponse(request, self.detail_template, context)

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the form and hand what it says to the service."""
        adding = object_id is None
        if object_id is not None and request.method != "POST" and self._is_for_reading(request, object_id):
            return HttpResponseRedirect(self.path_to("detail", self.row_or_404(request, object_id)))
        require(request, self.codes.get("add" if adding else "change"))
        if self.form_class is None:
            raise Http404("This is not changed by hand.")
        row = None if object_id is None else self.row_or_404(request, object_id)
        if row is not None and not self.has_change_permission(request, row):
            raise PermissionDenied("This is not changed by hand.")
        make = self.form_for(request, row)
        if make.in_readers_zone:
            zone = zone_of(request)
            with timezone.override(zone):
                answer = self._form_answer(request, row, make, zone.key)
                return answer.render() if isinstance(answer, TemplateResponse) else answer
        return self._form_answer(request, row, make, "")

    def _form_answer(self, request: HttpRequest, row: Any, make: type[ConsoleForm], zone: str) -> HttpResponse:
        adding = row is None
        form = make(request.POST or None, initial=self.initial(request, row))
        form.zone = zone
        if request.method == "POST" and form.is_valid():
            try:
                saved = (
                    self.create(request, form.cleaned_data)
                    if row is None
                    else self.update(request, row, form.cleaned_data)
                )
            except DomainError as error:
                form.refuse(error)
            else:
                if isinstance(saved, HttpResponse):
                    return saved
                shown = saved if isinstance(saved, models.Model) else row
                messages.success(
                    request, format_html("{} is {}.", self.title_of(shown), "added" if adding else "saved")
                )
                return HttpResponseRedirect(self.page_of(shown))
        noun = str(self.opts.verbose_name)
        context = self.page_context(
            request,
            title=(self.add_label or f"Add {noun}") if adding else f"Change {self.title_of(row)}",
            form=form,
            row=row,
            cancel_url=self.path_to("changelist") if adding else self.page_of(row),
            more_buttons=buttons_of(request, self.opts.label_lower, row),
            save_label=(self.add_save_label or self.add_label or f"Add {noun}") if adding else "Save changes",
            delete_url=self.path_to("delete", row)
            if row is not None and self.has_delete_permission(request, row)
            else "",
        )
        status = 422 if form.errors else 200
        return TemplateResponse(request, "console/form.html", context, status=status)

    def _is_for_reading(self, request: HttpRequest, object_id: str) -> bool:
        # Links name the form; who may read a thing but not change it is led to its page.
        return self.has_view_permission(request) and not self.has_change_permission(
            request, self.row_or_404(request, object_id)
        )

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """Ask, then remove through the service."""
        require(request, self.codes.get("delete"))
        row = self.row_or_404(request, object_id)
        if not self.has_delete_permission(request, row):
            raise PermissionDenied("This can't be removed.")
        problem = ""
        if request.method == "POST":
            title = self.title_of(row)
            try:
                self.remove(request, row)
            except DomainError as error:
                problem = str(error)
            else:
                messages.success(request, f"{title} is removed.")
                return HttpResponseRedirect(self.path_to("changelist"))
        context = self.page_context(
            request,
            title=f"Remove {self.title_of(row)}?",
            row=row,
            warning=self.delete_warning(row),
            problem=problem,
            cancel_url=self.page_of(row),
        )
        return TemplateResponse(request, "console/delete.html", context, status=409 if problem else 200)

    def do_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        """Press a button of a thing's page."""
        transition = next((one for one in self.transitions if one.name == name), None)
        if transition is None:
            raise Http404("There is no such action.")
        require(request, transition.code)
        row = self.row_or_404(request, object_id)
        back = request.POST.get("back", "")
        target = back if back.startswith("/admin/") else self.page_of(row)
        if request.method != "POST":
            return HttpResponseRedirect(target)
        try:
            answer = transition.run(request, row, request.POST.get("note", "").strip())
        except DomainError as error:
            messages.error(request, str(error))
        else:
            if isinstance(answer, HttpResponse):
                return answer
            messages.success(request, answer)
        return HttpResponseRedirect(target)
