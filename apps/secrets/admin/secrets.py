"""The vault in the console: what there is, when it ends, who uses it; rotating and, asked twice, showing a value."""

from datetime import timedelta
from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.debug import sensitive_post_parameters

from apps.accounts.requests import address_of
from apps.accounts.services.confirmation import confirm_person, needs_code
from apps.core import runtime_settings
from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.navigation import ADMINISTER, navigate
from apps.core.admin.words import since, spaced, spoken
from apps.core.admin.zones import zone_of
from apps.core.errors import DomainError
from apps.core.registries import subjects
from apps.core.templatetags.console import ago, badge
from apps.secrets import selectors, services
from apps.secrets.admin.forms import (
    AS_BEFORE,
    TYPED,
    NewSecretForm,
    RevealForm,
    RotateForm,
    SecretForm,
    value_given,
)
from apps.secrets.generation import strength_of
from apps.secrets.models import Secret, SecretVersion
from apps.secrets.references import Reference, users_of, users_of_one

SHOWN_USES = 20


def _lead_to(view: str) -> Any:
    def run(request: HttpRequest, row: Secret, note: str) -> HttpResponse:
        return HttpResponseRedirect(reverse(f"admin:secrets_secret_{view}", args=[row.pk]))

    return run


def end_of(row: Secret) -> str:
    """Return how the end of a secret stands, in a word that badges know."""
    if row.expires_at is None:
        return "valid"
    left = row.expires_at - timezone.now()
    if left <= timedelta(0):
        return "expired"
    days = int(runtime_settings.get("secrets.expiry_warning_days"))
    return "expiring" if left <= timedelta(days=days) else "valid"


def drawn_users(users: list[Reference]) -> list[dict[str, str]]:
    """Return what uses a secret with the page of each, where it has one."""
    found = []
    for one in users:
        kind = subjects.get(one.kind)
        found.append({"kind": spaced(one.kind), "name": one.name, "url": kind.url(one.id) if kind else ""})
    return found


@admin.register(Secret)
class SecretAdmin(ConsoleAdmin):
    """The vault."""

    codes: ClassVar = {
        "view": "secrets:view",
        "add": "secrets:manage",
        "change": "secrets:manage",
        "delete": "secrets:manage",
    }
    subject_kind = "secret"
    list_title = "Vault"
    intro = "Passwords, tokens and keys that Watchkeeper uses for you. They are sealed; nothing shows them unasked."
    add_label = "Add secret"
    empty: ClassVar = (
        "encrypted",
        "The vault is empty",
        "Add a password, a token or a key pair here and choose it by its name where it is needed. "
        "It is masked in everything that is printed, and you are told before it ends.",
    )
    form_class = SecretForm
    list_display = ("secret", "category_name", "end", "users", "used", "rotated")
    list_filter = ("category",)
    search_fields = ("name", "description")
    search_help_text = "Name or description"
    ordering = ("name",)
    detail_template = "console/vault_secret.html"
    live_events = "secret.*"
    list_before_rows = "console/partials/vault_state.html"
    transitions = (
        Transition("reveal", "Show value", "visibility", "secrets:reveal", _lead_to("reveal")),
        Transition("rotate", "Rotate", "autorenew", "secrets:manage", _lead_to("rotate"), tone="primary"),
    )

    def list_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return how the vault as a whole is."""
        return {"drill": selectors.last_drill()}

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Ask once for the users of all secrets of the page."""
        found = users_of([row.pk for row in rows]) if rows else {}
        for row in rows:
            row.found_users = found[row.pk]

    def row_tone(self, row: Secret) -> str:
        """Mark what has ended or ends soon."""
        return {"expired": "crit", "expiring": "warn"}.get(end_of(row), "")

    @column("Secret", order="name", css="wide")
    def secret(self, row: Secret) -> SafeString:
        """Show the name and what it is for."""
        return format_html("{}<span class='sub'>{}</span>", row.name, row.description)

    @column("Category", order="category", css="tight")
    def category_name(self, row: Secret) -> str:
        """Show what it is."""
        return row.get_category_display()

    @column("Ends", order="expires_at", css="tight")
    def end(self, row: Secret) -> SafeString:
        """Show the end in words."""
        if row.expires_at is None:
            return format_html('<span class="wk-quiet">{}</span>', "no end")
        words = f"ended {since(row.expires_at)}" if end_of(row) == "expired" else f"ends {since(row.expires_at)}"
        return badge(end_of(row), words)

    @column("Used by", css="quiet")
    def users(self, row: Any) -> SafeString | str:
        """Show what uses it."""
        found: list[Reference] = row.found_users
        if not found:
            return format_html('<span class="wk-quiet">{}</span>', "nothing")
        more = f" and {len(found) - 2} more" if len(found) > 2 else ""
        return ", ".join(one.name for one in found[:2]) + more

    @column("Last use", order="last_used_at", css="tight")
    def used(self, row: Secret) -> Any:
        """Show when it was used last."""
        return ago(row.last_used_at)

    @column("Rotated", order="rotated_at", css="tight")
    def rotated(self, row: Secret) -> SafeString:
        """Show since when the present value is there."""
        return format_html("{}<span class='sub'>version {}</span>", ago(row.rotated_at), row.version)

    # --- forms -----------------------------------------------------------------------------------------------

    def form_for(self, request: HttpRequest, row: Any) -> type[ConsoleForm]:
        """Return the form with a value for a new secret, and without for one that is there."""
        return NewSecretForm if row is None else SecretForm

    def initial(self, request: HttpRequest, row: Secret | None) -> dict[str, Any]:
        """Return the form's values; the address can fill in what is no value."""
        if row is None:
            return {name: text for name, text in request.GET.items() if name in ("name", "category", "description")}
        return {name: getattr(row, name) for name in ("name", "category", "description", "expires_at", "grace_s")}

    @method_decorator(sensitive_post_parameters())
    def changeform_view(self, *args: Any, **kwargs: Any) -> HttpResponse:
        """Show the form; what is posted to it is never part of an error's report."""
        return super().changeform_view(*args, **kwargs)

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Secret:
        """Put a secret into the vault."""
        about = {name: data[name] for name in ("name", "category", "description", "expires_at", "grace_s")}
        return services.create_secret(actor=require(request, "secrets:manage"), **about, **value_given(data))

    def update(self, request: HttpRequest, row: Secret, data: dict[str, Any]) -> Secret:
        """Change what is said about a secret."""
        values = {name: data[name] for name in ("name", "category", "description", "grace_s")}
        # The box holds minutes: who leaves it alone keeps the seconds.
        kept = row.expires_at.replace(second=0, microsecond=0) if row.expires_at else None
        if data["expires_at"] != kept:
            values["expires_at"] = data["expires_at"]
        return services.update_secret(secret_id=row.pk, actor=require(request, "secrets:manage"), values=values)

    def remove(self, request: HttpRequest, row: Secret) -> None:
        """Remove a secret."""
        services.delete_secret(secret_id=row.pk, actor=require(request, "secrets:manage"))

    def delete_warning(self, row: Secret) -> str:
        """Say what goes with it."""
        users = users_of_one(row.pk)
        if users:
            named = ", ".join(one.name for one in users[:5])
            return f"It is in use by {named} and can't be removed before they have another."
        return "All its values are wiped. This can't be undone."

    # --- pages -----------------------------------------------------------------------------------------------

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Return the pages that rotate a secret and that show its value."""
        return [
            ("<str:object_id>/rotate/", "rotate", self.rotate_view),
            ("<str:object_id>/reveal/", "reveal", self.reveal_view),
        ]

    @method_decorator(sensitive_post_parameters())
    def rotate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask for a new value and hand it to the service."""
        actor = require(request, "secrets:manage")
        row = self.row_or_404(request, object_id)
        zone = zone_of(request)
        as_before = strength_of(row.generator) if row.generator else ""
        with timezone.override(zone):
            end = row.expires_at if row.expires_at and row.expires_at > timezone.now() else None
            initial = {"source": AS_BEFORE if as_before else TYPED, "expires_at": end}
            form = RotateForm(request.POST or None, initial=initial, as_before=as_before)
            form.zone = zone.key
            if request.method == "POST" and form.is_valid():
                data = form.cleaned_data
                kept = end.replace(second=0, microsecond=0) if end else None
                ends = {} if data["expires_at"] == kept and end else {"expires_at": data["expires_at"]}
                try:
                    services.rotate_secret(secret_id=row.pk, actor=actor, **ends, **value_given(data))
                except DomainError as error:
                    form.refuse(error)
                else:
                    self.message_user(request, f"{row.name} has a new value.")
                    return HttpResponseRedirect(self.page_of(row))
            return self._form_page(
                request,
                row,
                form,
                title=f"Rotate {row.name}",
                intro=f"The present value stays readable for {_grace_words(row)}, for what still uses it; "
                "then it is wiped.",
                save="Rotate",
            )

    @method_decorator(sensitive_post_parameters())
    def reveal_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Ask who it is, then show one value."""
        actor = require(request, "secrets:reveal")
        row = self.row_or_404(request, object_id)
        number = request.GET.get("version", "")
        version = int(number) if number.isdecimal() and len(number) < 10 else None
        form = RevealForm(request.POST or None, with_code=needs_code(actor))
        if request.method == "POST" and form.is_valid():
            data = form.cleaned_data
            try:
                confirm_person(
                    actor=actor, password=data["password"], code=data.get("code", ""), address=address_of(request)
                )
                shown = services.reveal_secret(secret_id=row.pk, actor=actor, version=version)
            except DomainError as error:
                form.refuse(error)
            else:
                return self._value_page(request, row, shown)
        return self._form_page(
            request,
            row,
            form,
            title=f"Show the value of {row.name}" + (f", version {version}" if version else ""),
            intro="It goes into the audit trail that you looked at it.",
            save="Show value",
        )

    def _form_page(
        self, request: HttpRequest, row: Secret, form: ConsoleForm, *, title: str, intro: str, save: str
    ) -> HttpResponse:
        context = self.page_context(
            request, title=title, intro=intro, form=form, row=row, cancel_url=self.page_of(row), save_label=save
        )
        response = TemplateResponse(request, "console/form.html", context, status=422 if form.errors else 200)
        response["Cache-Control"] = "no-store"
        return response.render()

    def _value_page(self, request: HttpRequest, row: Secret, shown: SecretVersion) -> HttpResponse:
        context = self.page_context(
            request,
            title=f"The value of {row.name}",
            row=row,
            version=shown,
            value=shown.value,
            done_url=self.page_of(row),
        )
        response = TemplateResponse(request, "console/vault_value.html", context)
        response["Cache-Control"] = "no-store"
        response["Referrer-Policy"] = "no-referrer"
        return response.render()

    def facts(self, request: HttpRequest, row: Secret) -> list[tuple[str, Any]]:
        """Return the secret without its value."""
        end = "no end" if row.expires_at is None else format_html("{} ({})", self.end(row), row.expires_at.date())
        return [
            ("Category", row.get_category_display()),
            ("What for", row.description or None),
            ("Ends", end),
            ("Value", f"version {row.version}: {strength_of(row.generator)}"),
            ("Former value readable for", _grace_words(row)),
            ("Rotated", format_html("{} by {}", ago(row.rotated_at), row.rotated_by or "nobody")),
            ("Used", format_html("{} times, last {}", row.uses, ago(row.last_used_at))),
        ]

    def detail_context(self, request: HttpRequest, row: Secret) -> dict[str, Any]:
        """Return its versions, its users and its latest uses."""
        versions = list(row.versions.defer("value"))
        return {
            "state": end_of(row) if row.expires_at else "",
            "public_part": next((one.public_part for one in versions if one.readable_until is None), ""),
            "versions": versions,
            "users": drawn_users(users_of_one(row.pk)),
            "uses": list(row.used.order_by("-last_at")[:SHOWN_USES]),
            "may_reveal": may(request, "secrets:reveal"),
            "reveal_url": self.path_to("reveal", row),
            "now": timezone.now(),
        }


def _grace_words(row: Secret) -> str:
    seconds = row.grace_s if row.grace_s is not None else runtime_settings.get("secrets.grace")
    return spoken(seconds) if seconds else "no time: it is wiped at once"


navigate(ADMINISTER, 35, "Vault", icon="encrypted", url="admin:secrets_secret_changelist", code="secrets:view")
