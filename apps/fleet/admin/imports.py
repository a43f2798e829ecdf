"""The page by which machines of other tools come in: choose, look, confirm."""

import base64
import json
import zlib
from dataclasses import asdict
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse

from apps.core.admin.access import may, require
from apps.core.admin.forms import choices
from apps.core.admin.imports import FilesForm, show_report
from apps.core.admin.pages import page, render
from apps.core.errors import DomainError, Invalid
from apps.core.imports import DRAFTS_MOST, ImportItem, ImportReport
from apps.fleet.importers import Draft, importers
from apps.fleet.importers.base import CONNECTION, HOST_KEY, SERVER
from apps.fleet.services.ssh_imports import import_machines, read_machines
from apps.secrets.models import Secret


class MachineImportForm(FilesForm):
    """What to import."""

    field_order = ("format",)

    format = forms.ChoiceField(
        label="From", initial="ssh_config", choices=lambda: [(name, one.label) for name, one in importers.items()]
    )
    username = forms.CharField(
        required=False, max_length=64, label="User", help_text="For machines whose file names none."
    )  # fmt: skip
    secret_id = forms.ChoiceField(
        required=False, label="Signs in by", help_text="No credential is taken from the files; change it later."
    )  # fmt: skip

    def __init__(self, *args: Any, with_vault: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        wanted = (Secret.Category.SSH_KEY, Secret.Category.PASSWORD)
        rows = Secret.objects.filter(category__in=wanted).order_by("name").values_list("pk", "name")[:500]
        offered = [(str(key), name) for key, name in rows] if with_vault else []
        field: Any = self.fields["secret_id"]
        field.choices = choices(offered, empty="The SSH agent of this platform")


def _packed(drafts: list[Draft], username: str, secret_id: str) -> str:
    """Return drafts as one text for the page that asks for confirmation: the files may hold what no page shows."""
    body = {"drafts": [asdict(one) for one in drafts], "username": username, "secret_id": secret_id}
    return base64.b64encode(zlib.compress(json.dumps(body).encode())).decode()


def _unpacked(text: str) -> tuple[list[Draft], str, str]:
    """Return what `_packed` took.

    Raises:
        Invalid: it is none (422).
    """
    try:
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), 20_000_000)
        body = json.loads(data)
        drafts = [Draft(**one) for one in body["drafts"]][: DRAFTS_MOST + 1]
        if len(drafts) > DRAFTS_MOST or not all(isinstance(one.values, dict) and one.name for one in drafts):
            raise ValueError
        return drafts, str(body["username"]), str(body["secret_id"])
    except (ValueError, TypeError, KeyError, AttributeError, zlib.error) as error:
        raise Invalid({"contents": "what you looked at did not arrive whole; choose the files again"}) from error


@page("import-machines/", "fleet_import", code="ssh_connections:create")
def import_view(request: HttpRequest) -> HttpResponse:
    """Choose files, look at what they would make, make it."""
    actor = require(request, "ssh_connections:create")
    is_confirmed = request.method == "POST" and request.POST.get("step") == "make"
    posted = request.method == "POST" and not is_confirmed
    with_vault = may(request, "secrets:view")
    form = MachineImportForm(request.POST if posted else None, request.FILES if posted else None, with_vault=with_vault)
    try:
        if is_confirmed:
            drafts, username, secret_id = _unpacked(request.POST.get("packed", ""))
            format = request.POST.get("format", "")
            if format not in importers:
                raise Invalid({"format": f"must be one of {', '.join(importers)}"})
            report = import_machines(
                actor=actor, format=format, drafts=drafts, dry_run=False, username=username, secret_id=secret_id or None
            )
            return _shown(request, report, "")
        if posted and form.is_valid():
            data = form.cleaned_data
            drafts = read_machines(data["format"], data["files"])
            given = {"username": data["username"], "secret_id": data["secret_id"] or None}
            report = import_machines(actor=actor, format=data["format"], drafts=drafts, dry_run=True, **given)
            return _shown(request, report, _packed(drafts, data["username"], data["secret_id"]))
    except DomainError as error:
        if is_confirmed:
            form = MachineImportForm({"format": request.POST.get("format", "")}, with_vault=with_vault)
            form.is_valid()
        form.refuse(error)
    return render(
        request,
        "console/import_machines.html",
        "Import machines",
        status=422 if form.is_bound and form.errors else 200,
        form=form,
        formats=[{"name": name, "one": one} for name, one in importers.items()],
    )


def _shown(request: HttpRequest, report: ImportReport[ImportItem], packed: str) -> HttpResponse:
    return show_report(
        request,
        report,
        packed,
        label=importers[report.format].label,
        back="admin:fleet_import",
        subject_kinds={CONNECTION: "ssh_connection", HOST_KEY: "ssh_connection", SERVER: "server"},
    )
