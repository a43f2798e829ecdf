"""The console's sign-in pages: two steps, second factor, passwords. No script runs on them."""

import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from apps.accounts.authentication import BROWSER_SESSION_ID
from apps.accounts.forms import ChangePasswordForm, CodeForm, DisableForm, NewPasswordForm, ResetForm, SignInForm
from apps.accounts.models import User
from apps.accounts.policies import PASSWORD_POLICY, restriction_of, value_of
from apps.accounts.requests import address_of, user_agent_of
from apps.accounts.services import login as logins
from apps.accounts.services import mfa, passwords, resets, sessions
from apps.accounts.services.common import require_person
from apps.core import runtime_settings
from apps.core.errors import DomainError, TooMany
from apps.core.principals import Principal
from apps.core.registries import SignInPage, sign_in_pages

PENDING = "wk_pending_login"  # key in Django's session: who passed the first step, and when
RESET = "wk_reset_token"
SECOND_STEP_S = 300
BACKEND = "apps.accounts.backends.AccountBackend"
STRICT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

View = Callable[..., HttpResponse]


def page(name: str, route: str) -> Callable[[View], View]:
    """Register a view as sign-in page `admin:<name>` at /admin/<route>: never cached, CSRF-checked, no script."""

    def register(view: View) -> View:
        @never_cache
        @csrf_protect
        @sensitive_post_parameters()
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            response = view(request, *args, **kwargs)
            response["Content-Security-Policy"] = STRICT_POLICY
            return response

        sign_in_pages.register(name, SignInPage(route, guarded))
        return guarded

    return register


def _principal(request: HttpRequest) -> Principal | None:
    found: Principal | None = getattr(request, "principal", None)
    return found


def _posted(request: HttpRequest) -> tuple[Any, ...]:
    """Return a form's arguments: what was posted, or nothing."""
    return (request.POST,) if request.method == "POST" else ()


def _show(
    request: HttpRequest, template: str, title: str, *, error: DomainError | None = None, **context: Any
) -> HttpResponse:
    name = runtime_settings.get("general.installation_name")
    response = render(
        request,
        f"accounts/{template}.html",
        {"title": title, "installation_name": name, **context},
        status=error.status if error else 200,
    )
    if isinstance(error, TooMany):
        response["Retry-After"] = str(error.retry_after_s)
    return response


def _destination(request: HttpRequest) -> str:
    """Return where to go afterwards: a path of ours, else the overview."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    own = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if own and wanted.startswith("/") else reverse("admin:index")


def _go(name: str, next_path: str = "") -> HttpResponseRedirect:
    query = f"?{urlencode({'next': next_path})}" if next_path and next_path != reverse("admin:index") else ""
    return HttpResponseRedirect(reverse(f"admin:{name}") + query)


def _go_on(restriction: str, next_path: str) -> HttpResponseRedirect:
    """Lead a person who is signed in to what is still owed, then to where they wanted."""
    if restriction == "password_change_required":
        return _go("password_change", next_path)
    if restriction == "mfa_enrolment_required":
        return _go("mfa", next_path)
    return HttpResponseRedirect(next_path)


# --- signing in and out ------------------------------------------------------------------------------------------


@page("login", "login/")
def sign_in(request: HttpRequest) -> HttpResponse:
    """Ask for name and password."""
    next_path = _destination(request)
    principal = _principal(request)
    if principal is not None:
        return _go_on(principal.restriction, next_path)
    form, refusal = SignInForm(*_posted(request)), None
    if request.method == "POST" and form.is_valid():
        try:
            return _pass_first_step(request, form.cleaned_data["username"], form.cleaned_data["password"], next_path)
        except DomainError as error:
            form.refuse(error)
            refusal = error
    return _show(
        request, "login", "Sign in", error=refusal, form=form, next=next_path, can_reset=resets.is_mail_configured()
    )


def _pass_first_step(request: HttpRequest, name: str, password: str, next_path: str) -> HttpResponse:
    user, attempt = logins.check_password(name=name, password=password, address=address_of(request))
    if not user.permission_codes():
        attempt.withdraw()
        raise DomainError("This account has no role yet; ask an administrator for one.", code="no_role")
    if not mfa.is_enabled(user):
        attempt.succeed()
        return _complete(request, user, mfa_verified=False, next_path=next_path)
    attempt.withdraw()
    request.session.flush()  # nothing of a session that somebody may have planted survives
    request.session.cycle_key()
    request.session[PENDING] = {
        "user_id": str(user.id),
        "at": time.time(),
        "next": next_path,
        "hash": user.get_session_auth_hash(),
    }
    request.session.set_expiry(SECOND_STEP_S)
    return _go("login_code")


def _complete(request: HttpRequest, user: User, *, mfa_verified: bool, next_path: str) -> HttpResponse:
    request.session.flush()
    login(request, user, backend=BACKEND)  # a new session key
    session = sessions.open_session(
        user=user,
        kind="browser",
        mfa_verified=mfa_verified,
        address=address_of(request),
        user_agent=user_agent_of(request),
    )
    request.session[BROWSER_SESSION_ID] = str(session.id)
    request.session.set_expiry(session.expires_at)
    return _go_on(restriction_of(user, has_mfa=mfa_verified), next_path)


@page("login_code", "login/code/")
def second_step(request: HttpRequest) -> HttpResponse:
    """Ask for the code of the authenticator, or a recovery code."""
    pending = request.session.get(PENDING)
    if not pending or time.time() - pending["at"] > SECOND_STEP_S:
        request.session.pop(PENDING, None)
        return _go("login")
    user = User.objects.prefetch_related("roles").filter(id=UUID(pending["user_id"]), disabled=False).first()
    if user is None or user.get_session_auth_hash() != pending["hash"]:
        request.session.flush()
        return _go("login")
    form, refusal = CodeForm(*_posted(request)), None
    if request.method == "POST" and form.is_valid():
        try:
            logins.check_second_step(user=user, code=form.cleaned_data["code"], address=address_of(request))
            return _complete(request, user, mfa_verified=True, next_path=pending["next"])
        except DomainError as error:
            form.refuse(error)
            refusal = error
    return _show(request, "login_code", "Second step", error=refusal, form=form, username=user.username)


@page("logout", "logout/")
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session; only a form of ours can."""
    principal = _principal(request)
    if request.method != "POST":
        return HttpResponseRedirect(reverse("admin:index"))
    if principal is not None:
        sessions.log_out(actor=principal)
    logout(request)
    return _go("login")


# --- second factor -----------------------------------------------------------------------------------------------


@page("mfa", "mfa/")
def second_factor(request: HttpRequest) -> HttpResponse:
    """Set up, renew and switch off the second factor."""
    principal = _principal(request)
    if principal is None:
        return _go("login", request.get_full_path())
    if not principal.can("profile:mfa"):
        return _go_on(principal.restriction, request.get_full_path())
    user = User.objects.prefetch_related("roles").get(id=require_person(principal))
    actions = {"begin": _begin, "confirm": _confirm, "renew": _renew, "disable": _disable}
    action = actions.get(request.POST.get("action", "")) if request.method == "POST" else None
    if action is not None:
        return action(request, user, principal)
    return _second_factor_page(request, user)


def _second_factor_page(
    request: HttpRequest, user: User, *, error: DomainError | None = None, **forms: Any
) -> HttpResponse:
    principal = _principal(request)
    is_enabled = mfa.is_enabled(user)
    pending = None if is_enabled else mfa.pending_enrolment(user)
    context = {
        "confirm_form": CodeForm(),
        "renew_form": CodeForm(auto_id="renew_%s"),
        "disable_form": DisableForm(auto_id="disable_%s"),
        **forms,
        "is_enabled": is_enabled,
        "enrolment": pending,
        "groups": [pending.secret[at : at + 4] for at in range(0, len(pending.secret), 4)] if pending else [],
        "codes_left": mfa.codes_left(user) if is_enabled else 0,
        "is_demanded": bool(principal and principal.restriction),
        "next": _destination(request),
        "username": user.username,
    }
    return _show(request, "mfa", "Two-step sign-in", error=error, **context)


def _begin(request: HttpRequest, user: User, principal: Principal) -> HttpResponse:
    try:
        mfa.begin_enrolment(actor=principal)
    except DomainError as error:
        messages.error(request, error.detail)
    return _go("mfa", _destination(request))


def _confirm(request: HttpRequest, user: User, principal: Principal) -> HttpResponse:
    form = CodeForm(request.POST)
    if not form.is_valid():
        return _second_factor_page(request, user, confirm_form=form)
    try:
        codes = mfa.confirm_enrolment(code=form.cleaned_data["code"], address=address_of(request), actor=principal)
    except DomainError as error:
        form.refuse(error)
        return _second_factor_page(request, user, confirm_form=form, error=error)
    request.session.cycle_key()
    return _show(request, "mfa_codes", "Recovery codes", codes=codes, next=_destination(request), is_new=True)


def _renew(request: HttpRequest, user: User, principal: Principal) -> HttpResponse:
    form = CodeForm(request.POST, auto_id="renew_%s")
    if not form.is_valid():
        return _second_factor_page(request, user, renew_form=form)
    try:
        codes = mfa.renew_recovery_codes(code=form.cleaned_data["code"], address=address_of(request), actor=principal)
    except DomainError as error:
        form.refuse(error)
        return _second_factor_page(request, user, renew_form=form, error=error)
    return _show(request, "mfa_codes", "Recovery codes", codes=codes, next=reverse("admin:mfa"), is_new=False)


def _disable(request: HttpRequest, user: User, principal: Principal) -> HttpResponse:
    form = DisableForm(request.POST, auto_id="disable_%s")
    if not form.is_valid():
        return _second_factor_page(request, user, disable_form=form)
    values = form.cleaned_data
    try:
        mfa.disable(password=values["password"], code=values["code"], address=address_of(request), actor=principal)
    except DomainError as error:
        form.refuse(error)
        return _second_factor_page(request, user, disable_form=form, error=error)
    return _go("mfa")


# --- passwords ---------------------------------------------------------------------------------------------------


def _demands() -> list[str]:
    """Return what the policy demands, one short phrase each."""
    nouns = {
        "uppercase": "an upper-case letter",
        "lowercase": "a lower-case letter",
        "digit": "a digit",
        "symbol": "a symbol",
    }
    length = value_of(PASSWORD_POLICY, "min_length")
    return [f"at least {length} characters", *(noun for key, noun in nouns.items() if value_of(PASSWORD_POLICY, key))]


@page("password_change", "password_change/")
def change_password(request: HttpRequest) -> HttpResponse:
    """Change one's own password."""
    principal = _principal(request)
    if principal is None:
        return _go("login", request.get_full_path())
    if not principal.can("profile:password"):
        return _go_on(principal.restriction, request.get_full_path())
    form, refusal = ChangePasswordForm(*_posted(request)), None
    if request.method == "POST" and form.is_valid():
        try:
            user = passwords.change_own_password(
                current_password=form.cleaned_data["current_password"],
                new_password=form.cleaned_data["new_password"],
                address=address_of(request),
                actor=principal,
            )
        except DomainError as error:
            form.refuse(error)
            refusal = error
        else:
            update_session_auth_hash(request, user)  # and a new session key
            messages.success(request, "Your password is changed; your other sessions have ended.")
            return _go_on(restriction_of(user), _destination(request))
    return _show(
        request,
        "password_change",
        "Change password",
        error=refusal,
        form=form,
        demands=_demands(),
        is_demanded=principal.restriction == "password_change_required",
        next=_destination(request),
        username=principal.name,
    )


@page("reset", "reset/")
def ask_for_reset(request: HttpRequest) -> HttpResponse:
    """Mail a link to set a new password; the page tells nobody whether there is such a user."""
    form = ResetForm(*_posted(request))
    is_sent = request.method == "POST" and form.is_valid()
    if is_sent:
        resets.request_reset(email=form.cleaned_data["email"])
    return _show(
        request, "reset", "Forgotten password", form=form, is_sent=is_sent, can_reset=resets.is_mail_configured()
    )


@page("reset_new", "reset/new/")
def set_new_password(request: HttpRequest) -> HttpResponse:
    """Set the password of the user whose link was opened."""
    token = request.session.get(RESET, "")
    if not token or not resets.is_good_token(token):
        return _show(request, "reset_over", "Forgotten password")
    form, refusal = NewPasswordForm(*_posted(request)), None
    if request.method == "POST" and form.is_valid():
        try:
            resets.complete_reset(
                token=token, new_password=form.cleaned_data["new_password"], address=address_of(request)
            )
        except DomainError as error:
            form.refuse(error)
            refusal = error
        else:
            request.session.flush()
            return _show(request, "reset_done", "Password set")
    return _show(request, "reset_new", "New password", error=refusal, form=form, demands=_demands())


@page("reset_token", "reset/<str:token>/")
def open_reset_link(request: HttpRequest, token: str) -> HttpResponse:
    """Take the token out of the address, where it could leak, before anything is shown."""
    request.session[RESET] = token
    request.session.set_expiry(3600)
    return _go("reset_new")
