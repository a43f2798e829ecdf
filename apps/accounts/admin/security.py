"""The security page: signing in, passwords, addresses."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.accounts.models import IpRule, Role
from apps.accounts.policies import PASSWORD_POLICY, SECURITY
from apps.accounts.requests import address_of
from apps.accounts.services import security
from apps.core.admin.access import may, require
from apps.core.admin.forms import ConsoleForm, WordsField
from apps.core.admin.navigation import ADMINISTER, navigate
from apps.core.admin.pages import page, render
from apps.core.admin.settings_forms import changed_values, form_of, values_now
from apps.core.errors import DomainError, Invalid


def _role_names() -> list[tuple[str, str]]:
    return [(role.name, role.name) for role in Role.objects.all()]


class AddressForm(ConsoleForm):
    """The allow and block lists as text."""

    rules = WordsField(
        lines=True,
        required=False,
        label="Address rules",
        help_text="One a line: “allow 10.0.0.0/8 office” or “block 203.0.113.7”. Where there is an allow line, "
        "everybody else is refused.",
    )

    def clean_rules(self) -> list[dict[str, str]]:
        """Return the lines as rules."""
        found = []
        for line in self.cleaned_data["rules"]:
            words = line.split(None, 2)
            if len(words) < 2 or words[0].lower() not in ("allow", "block"):
                raise forms.ValidationError(f"“{line[:60]}” does not read “allow” or “block” and an address.")
            found.append({"action": words[0].lower(), "cidr": words[1], "note": words[2] if len(words) > 2 else ""})
        return found


def _settings_form() -> type[ConsoleForm]:
    return form_of(
        [SECURITY, PASSWORD_POLICY],
        extra={
            "security__mfa_required_roles": forms.MultipleChoiceField(
                choices=_role_names,
                required=False,
                widget=forms.CheckboxSelectMultiple,
                label="Second step demanded of",
                help_text="Who has one of these roles and no second factor may only set one up.",
            ),
            "security__default_role": forms.ChoiceField(choices=_role_names, label="Role of those who register"),
        },
    )


@page("security/", "security", code="security:view")
def security_view(request: HttpRequest) -> HttpResponse:
    """Show and change how people sign in, what passwords must be like, and which addresses may speak to us."""
    form_class = _settings_form()
    is_rules = request.method == "POST" and request.POST.get("form") == "rules"
    settings_form = form_class(
        request.POST if request.method == "POST" and not is_rules else None, initial=values_now(form_class)
    )
    lines = [f"{rule.action} {rule.cidr} {rule.note}".strip() for rule in IpRule.objects.all()]
    rules_form = AddressForm(request.POST if is_rules else None, initial={"rules": lines})
    if request.method == "POST":
        actor = require(request, "security:update")
        form = rules_form if is_rules else settings_form
        if form.is_valid():
            try:
                if is_rules:
                    security.replace_ip_rules(
                        rules=form.cleaned_data["rules"], address=address_of(request), actor=actor
                    )
                else:
                    changed = changed_values(form.cleaned_data)
                    for category, change in (
                        (SECURITY, security.update_security),
                        (PASSWORD_POLICY, security.update_password_policy),
                    ):
                        mine = {
                            name.partition(".")[2]: value
                            for name, value in changed.items()
                            if name.startswith(f"{category}.")
                        }
                        if mine:
                            change(changes=mine, actor=actor)
            except Invalid as error:
                if is_rules:
                    error = Invalid({"rules": [text for texts in error.problems.values() for text in texts]})
                form.refuse(error)
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(request, "Saved; it is in force at once.")
                return HttpResponseRedirect(reverse("admin:security"))
    may_change = may(request, "security:update")
    if not may_change:
        for field in [*settings_form.fields.values(), *rules_form.fields.values()]:
            field.disabled = True
    return render(
        request,
        "console/security.html",
        "Security",
        status=422 if settings_form.errors or rules_form.errors else 200,
        form=settings_form,
        rules_form=rules_form,
        may_change=may_change,
        own_address=address_of(request),
    )


navigate(ADMINISTER, 50, "Security", icon="shield_person", url="admin:security", code="security:view")
