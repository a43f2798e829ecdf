"""Forms of the sign-in pages. They carry values; the services judge them."""

from typing import Any

from django import forms

from apps.core.errors import DomainError, Invalid


class _SignInForm(forms.Form):
    """A form that shows what a service refused."""

    #: names of a service's fields that this form calls otherwise
    names: dict[str, str] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        has_focus = "auto_id" not in kwargs and not args
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        first = next(iter(self.fields.values()), None)
        if first is not None and has_focus:
            first.widget.attrs["autofocus"] = True

    def refuse(self, error: DomainError) -> None:
        """Show a refusal at its field, or above the form."""
        if not isinstance(error, Invalid):
            self.add_error(None, error.detail)
            return
        for field, texts in error.problems.items():
            name = self.names.get(field, field)
            for text in texts:
                self.add_error(name if name in self.fields else None, text)


def _password(label: str, autocomplete: str) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(label=label, strip=False, max_length=1024, widget=widget)


class SignInForm(_SignInForm):
    """The first step."""

    username = forms.CharField(
        label="User name or email",
        max_length=254,
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}),
    )
    password = _password("Password", "current-password")


class CodeForm(_SignInForm):
    """The second step."""

    names = {"token": "code"}

    code = forms.CharField(
        label="Code",
        max_length=32,
        widget=forms.TextInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false", "class": "code"}
        ),
    )


class DisableForm(CodeForm):
    """Both factors, to switch the second one off."""

    password = _password("Password", "current-password")
    field_order = ["password", "code"]


class NewPasswordForm(_SignInForm):
    """A new password, twice."""

    new_password = _password("New password", "new-password")
    repeated = _password("New password again", "new-password")

    def clean(self) -> dict[str, Any]:
        """Compare the two."""
        values = super().clean() or {}
        if values.get("new_password") != values.get("repeated"):
            self.add_error("repeated", "The two passwords differ.")
        return values


class ChangePasswordForm(NewPasswordForm):
    """The password as it is, and a new one."""

    current_password = _password("Current password", "current-password")
    field_order = ["current_password", "new_password", "repeated"]


class ResetForm(_SignInForm):
    """Where to send the link."""

    email = forms.EmailField(label="Email", max_length=254, widget=forms.EmailInput(attrs={"autocomplete": "email"}))
