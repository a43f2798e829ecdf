"""The page by which machines of other tools come in: choose, look, confirm."""

import base64
import json
import zlib
from dataclasses import asdict
from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.core.admin.access import may, require
from apps.core.admin.forms import ConsoleForm, choices
from apps.core.admin.pages import page, render
from apps.core.errors import DomainError, Invalid
from apps.core.registries import subjects
from apps.fleet.importers import Draft, SourceFile, importers
from apps.fleet.importers.base import SERVER
from apps.fleet.services.ssh_imports import (
    BYTES_MOST,
    DRAFTS_MOST,
    EXISTS,
    FILES_MOST,
    IMPOSSIBLE,
    NEW,
    MachineItem,
    MachineReport,
    import_machines,
    read_machines,
)
from apps.secrets.models import Secret


class _Files(forms.ClearableFileInput):
    allow_multiple_selected = True


class _FilesField(forms.FileField):
    widget = _Files

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        """Return the files, none being allowed."""
        found = data if isinstance(data, list | tuple) else [data] if data else []
        return [super(_FilesField, self).clean(one, initial) for one in found]


class MachineImportForm(ConsoleForm):
    """What to import."""

    format = forms.ChoiceField(
        label="From", initial="ssh_config", choices=lambda: [(name, one.label) for name, one in importers.items()]
    )
    uploads = _FilesField(required=False, label="Files", help_text=f"At most {BYTES_MOST >> 20} MB together.")
    text = forms.CharField(
        required=False,
        strip=False,
        label="Or the text itself",
        widget=forms.Textarea(attrs={"rows": 8, "class": "wk-mono", "spellcheck": "false"}),
    )
    username = forms.CharField(
        required=False, max_length=64, label="User", help_text="For machines whose file names none."
    )  # fmt: skip
    secret_id = forms.ChoiceField(
        required=False, label="Signs in by", help_text="No credential is taken from the files; change it later."
    )  # fmt: skip
    service_names: ClassVar = {"contents": "uploads"}

    def __init__(self, *args: Any, with_vault: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        wanted = (Secret.Category.SSH_KEY, Secret.Category.PASSWORD)
        rows = Secret.objects.filter(category__in=wanted).order_by("name").values_list("pk", "name")[:500]
        offered = [(str(key), name) for key, name in rows] if with_vault else []
        field: Any = self.fields["secret_id"]
        field.choices = choices(offered, empty="The SSH agent of this platform")

    def clean(self) -> dict[str, Any]:
        """Return the files as texts."""
        data = super().clean() or {}
        uploads = data.get("uploads") or []
        if len(uploads) > FILES_MOST or sum(one.size for one in uploads) > BYTES_MOST:
            self.add_error("uploads", f"Give at most {FILES_MOST} files and {BYTES_MOST >> 20} MB at once.")
            return data
        files = []
        for one in uploads:
            try:
                files.append(SourceFile(one.name, one.read().decode()))
            except UnicodeDecodeError:
                self.add_error("uploads", f"{one.name} is no text in UTF-8.")
        if (data.get("text") or "").strip():
            files.append(SourceFile("text", data["text"]))
        if not files and not self.errors:
            self.add_error("uploads", "Choose a file, or paste its text.")
        data["files"] = files
        return data


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


def _shown(request: HttpRequest, report: MachineReport, packed: str) -> HttpResponse:
    order = {NEW: 0, IMPOSSIBLE: 1, EXISTS: 2}
    return render(
        request,
        "console/import_report.html",
        "What would be imported" if report.dry_run else "Imported",
        report=report,
        label=importers[report.format].label,
        counts=report.counts(),
        packed=packed,
        rows=[_row(item, report.dry_run) for item in sorted(report.items, key=lambda item: order[item.outcome])],
        snippets=[],
        back=reverse("admin:fleet_import"),
    )


def _row(item: MachineItem, dry_run: bool) -> dict[str, Any]:
    subject = subjects.get("server" if item.kind == SERVER else "ssh_connection")
    words = {NEW: "Will be made" if dry_run else "Made", EXISTS: "There already", IMPOSSIBLE: "Can't be made"}
    tones = {NEW: "info" if dry_run else "ok", EXISTS: "none", IMPOSSIBLE: "warn"}
    return {
        "item": item,
        "word": words[item.outcome],
        "tone": tones[item.outcome],
        "url": subject.url(item.id) if subject and item.id else "",
        "reason": item.reason if item.outcome == IMPOSSIBLE else "",
    }
