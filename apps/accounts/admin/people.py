"""Users and roles in the console."""

from typing import Any, ClassVar
from zoneinfo import available_timezones

from django import forms
from django.contrib import admin, messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.accounts import selectors
from apps.accounts.models import Role, User
from apps.accounts.permissions import PERMISSIONS, RESOURCES
from apps.accounts.services import passwords
from apps.accounts.services import roles as role_services
from apps.accounts.services import users as user_services
from apps.core.admin.access import may, require
from apps.core.admin.base import ConsoleAdmin, Transition
from apps.core.admin.columns import column
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.navigation import ADMINISTER, navigate
from apps.core.admin.words import exact
from apps.core.errors import DomainError
from apps.core.principals import grants
from apps.core.templatetags.console import ago, badge


def role_choices() -> list[tuple[str, str]]:
    """Return the roles with what they are for."""
    return [
        (role.name, f"{role.name} – {role.description}" if role.description else role.name)
        for role in Role.objects.all()
    ]


class NewUserForm(ConsoleForm):
    """A new user."""

    username = forms.CharField(max_length=150, label="User name", help_text="Letters, digits and @ . + - _.")
    email = forms.EmailField(required=False)
    full_name = forms.CharField(max_length=150, required=False)
    roles = forms.MultipleChoiceField(
        choices=role_choices, required=False, widget=forms.CheckboxSelectMultiple, initial=["viewer"]
    )
    password = forms.CharField(widget=forms.PasswordInput)
    must_change_password = forms.BooleanField(
        required=False, initial=True, label="Must choose an own password at the first login"
    )


class UserForm(ConsoleForm):
    """What an administrator changes of a user."""

    email = forms.EmailField(required=False)
    full_name = forms.CharField(max_length=150, required=False)
    timezone = forms.ChoiceField(
        choices=lambda: [(zone, zone) for zone in sorted(available_timezones())], label="Time zone"
    )
    roles = forms.MultipleChoiceField(choices=role_choices, required=False, widget=forms.CheckboxSelectMultiple)
    disabled = forms.BooleanField(required=False, help_text="Sessions and keys end at once; the name stays taken.")


class PasswordForm(ConsoleForm):
    """A password that somebody else gets."""

    new_password = forms.CharField(
        widget=forms.PasswordInput, label="New password", help_text="It must be changed at the next login."
    )


class DisabledFilter(admin.SimpleListFilter):
    """Enabled and disabled users."""

    title, parameter_name = "state", "disabled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return both states."""
        return [("no", "Enabled"), ("yes", "Disabled")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the state chosen."""
        return queryset.filter(disabled=self.value() == "yes") if self.value() else queryset


class RoleFilter(admin.SimpleListFilter):
    """Users of a role."""

    title, parameter_name = "role", "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        """Return the roles."""
        return [(role.name, role.name) for role in Role.objects.all()]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        """Keep the role chosen."""
        return queryset.filter(roles=self.value()) if self.value() else queryset


def _enable(request: HttpRequest, row: User, note: str) -> str:
    user_services.update_user(user_id=row.pk, changes={"disabled": False}, actor=require(request, "users:update"))
    return f"{row.username} may sign in again."


@admin.register(User)
class UserAdmin(ConsoleAdmin):
    """People. Nobody is ever deleted, only disabled."""

    codes: ClassVar = {"view": "users:view", "add": "users:create", "change": "users:update", "delete": "users:delete"}
    list_title = "Users"
    add_label = "Add user"
    empty: ClassVar = ("group", "No user", "")
    form_class = UserForm
    list_display = ("person", "their_roles", "second_factor", "state", "last_login_at")
    list_filter = (RoleFilter, DisabledFilter)
    search_fields = ("username", "email", "full_name")
    search_help_text = "Name or email"
    ordering = ("username",)
    detail_template = "console/user.html"
    transitions = (
        Transition("enable", "Enable", "person_check", "users:update", _enable, offered=lambda row: row.disabled),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return all users with roles and whether they have a second factor."""
        return selectors.users()

    def row_tone(self, row: User) -> str:
        """Calm down the disabled ones."""
        return "muted" if row.disabled else ""

    @column("User", order="username")
    def person(self, row: User) -> SafeString:
        """Show user name, full name and email."""
        second = " · ".join(part for part in (row.full_name, row.email) if part)
        return format_html("{}<span class='sub'>{}</span>", row.username, second)

    @column("Roles")
    def their_roles(self, row: User) -> SafeString:
        """Show the roles."""
        return format_html_join(" ", "<span class='wk-tag'>{}</span>", ((role.name,) for role in row.roles.all()))

    @column("Second factor", css="tight")
    def second_factor(self, row: Any) -> SafeString:
        """Show whether a second factor is set up."""
        return badge("enabled", "On") if row.mfa_enabled else badge("off")

    @column("State", css="tight")
    def state(self, row: User) -> SafeString:
        """Show whether the user may sign in."""
        return badge("disabled" if row.disabled else "enabled")

    @column("Last sign-in", order="last_login", css="tight quiet")
    def last_login_at(self, row: User) -> Any:
        """Show the last sign-in."""
        return ago(row.last_login)

    def form_for(self, request: HttpRequest, row: User | None) -> type[ConsoleForm]:
        """Return the form for a new or an old user."""
        return NewUserForm if row is None else UserForm

    def initial(self, request: HttpRequest, row: User | None) -> dict[str, Any]:
        """Return the form's values."""
        values = super().initial(request, row)
        if row is not None:
            values["roles"] = [role.name for role in row.roles.all()]
        return values

    def create(self, request: HttpRequest, data: dict[str, Any]) -> User:
        """Add a user."""
        return user_services.create_user(actor=require(request, "users:create"), **data)

    def update(self, request: HttpRequest, row: User, data: dict[str, Any]) -> User:
        """Change a user."""
        return user_services.update_user(user_id=row.pk, changes=data, actor=require(request, "users:update"))

    def remove(self, request: HttpRequest, row: User) -> None:
        """Disable a user."""
        user_services.disable_user(user_id=row.pk, actor=require(request, "users:delete"))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Offer no second disabling."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.disabled)

    def delete_warning(self, row: User) -> str:
        """Say what disabling means."""
        return f"{row.username} is disabled: sessions end, keys are revoked, the name stays taken. The audit "
        "trail keeps what they did."

    def more_paths(self) -> list[tuple[str, str, Any]]:
        """Offer the page that sets somebody's password."""
        return [("<str:object_id>/password/", "password", self.password_view)]

    def password_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Set somebody's password."""
        actor = require(request, "users:update")
        row = self.row_or_404(request, object_id)
        form = PasswordForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            try:
                passwords.set_password_of(user_id=row.pk, new_password=form.cleaned_data["new_password"], actor=actor)
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(request, f"{row.username} has a new password and must change it at the next login.")
                return HttpResponseRedirect(self.page_of(row))
        context = self.page_context(
            request,
            title=f"New password for {row.username}",
            form=form,
            row=row,
            cancel_url=self.page_of(row),
            save_label="Set password",
        )
        return TemplateResponse(request, "console/form.html", context, status=422 if form.errors else 200)

    def detail_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return rights, sessions and keys."""
        principal = require(request, "users:view")
        found: dict[str, Any] = {
            "password_url": self.path_to("password", row) if may(request, "users:update") else "",
            "delete_label": "Disable",
            "codes": sorted(row.permission_codes()),
        }
        if may(request, "sessions:view"):
            found["sessions"] = list(selectors.live_sessions(principal, user_id=row.pk)[:20])
        if may(request, "api_keys:manage"):
            found["keys"] = list(row.api_keys.filter(revoked_at__isnull=True)[:20])
        return found


class RoleForm(ConsoleForm):
    """A role and what it allows."""

    name = forms.SlugField(max_length=64, help_text="Letters, digits, - and _.")
    description = forms.CharField(max_length=255, required=False)
    permissions = forms.MultipleChoiceField(
        choices=lambda: [(one.code, one.meaning) for one in PERMISSIONS], required=False
    )
    groups = (("Role", "", ("name", "description")),)
    matrix = True

    def parts(self) -> list[dict[str, Any]]:
        """Leave the matrix to its own template."""
        return [part for part in super().parts() if part["title"]]

    def rows(self) -> list[tuple[str, list[dict[str, Any]]]]:
        """Return the matrix: (resource, its codes with whether they are held)."""
        chosen = self.data.getlist("permissions") if self.is_bound else self.initial.get("permissions", [])  # type: ignore[attr-defined]
        held = frozenset(chosen)
        return [
            (
                resource.replace("_", " ").capitalize(),
                [
                    {
                        "code": one.code,
                        "verb": one.code.partition(":")[2].replace("_", " "),
                        "meaning": one.meaning,
                        "on": grants(held, one.code),
                    }
                    for one in PERMISSIONS
                    if one.code.startswith(f"{resource}:")
                ],
            )
            for resource in sorted(RESOURCES)
        ]


class RoleChangeForm(RoleForm):
    """The same for a role that is there: its name is its key."""

    name = forms.SlugField(max_length=64, disabled=True, help_text="A role keeps its name.")


@admin.register(Role)
class RoleAdmin(ConsoleAdmin):
    """Named sets of permissions."""

    codes: ClassVar = {"view": "roles:view", "add": "roles:create", "change": "roles:update", "delete": "roles:delete"}
    list_title = "Roles"
    intro = "Named sets of permissions. The built-in three follow the product and are not changed."
    add_label = "Add role"
    empty: ClassVar = ("badge", "No role", "")
    form_class = RoleForm
    list_display = ("role", "what", "users_of", "permissions_of")
    ordering = ("name",)
    detail_template = "console/role.html"

    def get_queryset(self, request: HttpRequest) -> Any:
        """Return the roles with how many have them."""
        return super().get_queryset(request).annotate(holders=Count("users"))

    @column("Role", order="name")
    def role(self, row: Role) -> SafeString:
        """Show the name."""
        return format_html("{} {}", row.name, badge("info", "built in") if row.is_system else "")

    @column("For", css="wide")
    def what(self, row: Role) -> str:
        """Show the description."""
        return row.description

    @column("Users", css="figure")
    def users_of(self, row: Any) -> int:
        """Show how many have it."""
        return int(row.holders)

    @column("Permissions", css="figure")
    def permissions_of(self, row: Role) -> str:
        """Show how many codes it holds."""
        held = frozenset(row.permissions)
        count = sum(grants(held, one.code) for one in PERMISSIONS)
        return "all" if count == len(PERMISSIONS) else str(count)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Leave the built-in ones alone."""
        return super().has_change_permission(request, obj) and not (obj is not None and obj.is_system)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Leave the built-in ones alone."""
        return super().has_delete_permission(request, obj) and not (obj is not None and obj.is_system)

    def form_for(self, request: HttpRequest, row: Role | None) -> type[ConsoleForm]:
        """Return the form for a new or an old role."""
        return RoleForm if row is None else RoleChangeForm

    def initial(self, request: HttpRequest, row: Role | None) -> dict[str, Any]:
        """Return the form's values."""
        if row is None:
            return {}
        return {"name": row.name, "description": row.description, "permissions": row.permissions}

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """Show the form with its matrix."""
        response = super().changeform_view(request, object_id, form_url, extra_context)
        if isinstance(response, TemplateResponse):
            response.template_name = "console/role_form.html"
        return response

    def create(self, request: HttpRequest, data: dict[str, Any]) -> Role:
        """Add a role."""
        return role_services.create_role(actor=require(request, "roles:create"), **data)

    def update(self, request: HttpRequest, row: Role, data: dict[str, Any]) -> Role:
        """Change a role."""
        return role_services.update_role(
            name=row.name,
            permissions=data["permissions"],
            description=data["description"],
            actor=require(request, "roles:update"),
        )

    def remove(self, request: HttpRequest, row: Role) -> None:
        """Remove a role."""
        role_services.delete_role(name=row.name, actor=require(request, "roles:delete"))

    def detail_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return the matrix and who has the role."""
        form = RoleForm(initial={"permissions": row.permissions})
        return {
            "subtitle": row.description,
            "matrix": form.rows(),
            "holders": list(row.users.order_by("username")[:50]) if may(request, "users:view") else [],
            "created": exact(row.created_at),
        }


navigate(ADMINISTER, 10, "Users", icon="group", url="admin:accounts_user_changelist", code="users:view")
navigate(ADMINISTER, 20, "Roles", icon="badge", url="admin:accounts_role_changelist", code="roles:view")
