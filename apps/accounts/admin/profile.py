"""The person's own page."""

from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.accounts import selectors
from apps.accounts.policies import SECURITY, value_of
from apps.accounts.requests import address_of
from apps.accounts.services import mfa, sessions, users
from apps.core.admin.access import may, require
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.pages import page, render
from apps.core.admin.panels import SIDE, Panel, panels
from apps.core.errors import DomainError


class ProfileForm(ConsoleForm):
    """What people change of themselves."""

    full_name = forms.CharField(max_length=150, required=False)
    email = forms.EmailField(required=False, help_text="A link to reset your password would go there.")
    timezone = forms.ChoiceField(
        choices=lambda: [(zone, zone) for zone in sorted(available_timezones())], label="Time zone"
    )
    password = forms.CharField(
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        label="Your password",
        help_text="Needed for a new email.",
    )


@page("profile/", "profile", code="profile:view")
def profile(request: HttpRequest) -> HttpResponse:
    """Show and change one's own profile; list one's own sessions."""
    actor = require(request, "profile:view")
    user = selectors.user_by_id(actor.user_id)
    first = {"full_name": user.full_name, "email": user.email, "timezone": user.timezone}
    form = ProfileForm(request.POST or None, initial=first)
    if request.method == "POST":
        require(request, "profile:update")
        if form.is_valid():
            data = dict(form.cleaned_data)
            password = data.pop("password")
            try:
                users.update_own_profile(changes=data, password=password, address=address_of(request), actor=actor)
            except DomainError as error:
                form.refuse(error)
            else:
                messages.success(request, "Your profile is saved.")
                return HttpResponseRedirect(reverse("admin:profile"))
    own = selectors.live_sessions(actor).filter(user_id=str(actor.user_id)).order_by("-last_seen_at")[:30]
    return render(
        request,
        "console/profile.html",
        "Profile",
        status=422 if form.errors else 200,
        form=form,
        user_row=user,
        sessions=list(own),
        current=actor.session_id,
        codes_left=mfa.codes_left(user),
    )


@page("profile/sessions/<str:session_id>/end/", "profile_session_end", code="profile:update")
def end_own_session(request: HttpRequest, session_id: str) -> HttpResponse:
    """End one of one's own sessions."""
    actor = require(request, "profile:update")
    if request.method == "POST":
        if not selectors.live_sessions(actor).filter(user_id=str(actor.user_id), pk=session_id).exists():
            raise Http404("There is no such session of yours.")
        try:
            sessions.end_session(session_id=session_id, actor=actor, reason="ended_by_user")
        except DomainError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, "The session has ended.")
    return HttpResponseRedirect(reverse("admin:profile"))


def _mfa_panel(request: HttpRequest) -> dict[str, Any] | None:
    """Say so while nobody is made to use a second factor and the person has none."""
    actor = require(request, "profile:view")
    user = selectors.user_by_id(actor.user_id)
    if value_of(SECURITY, "mfa_required_roles") or user.mfa_enabled:  # type: ignore[attr-defined]
        return None
    return {"may_demand": may(request, "security:update")}


panels.register("mfa", Panel(SIDE, 5, "console/panels/mfa.html", _mfa_panel, "profile:view"))
