"""The page by which monitors of other tools come in: choose, look, confirm."""

import base64
import json
import zlib
from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.core.admin.access import require
from apps.core.admin.forms import ConsoleForm
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.pages import page, render
from apps.core.errors import DomainError, Invalid
from apps.core.registries import subjects
from apps.monitors.importers import SourceFile, importers
from apps.monitors.importers.base import MAINTENANCE
from apps.monitors.services.imports import (
    BYTES_MOST,
    EXISTS,
    FILES_MOST,
    IMPOSSIBLE,
    NEW,
    ImportItem,
    ImportReport,
    import_monitors,
)


class ManyFiles(forms.ClearableFileInput):
    """A box for several files."""

    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Several files."""

    widget = ManyFiles

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        """Return the files, none being allowed."""
        found = data if isinstance(data, list | tuple) else [data] if data else []
        return [super(ManyFilesField, self).clean(one, initial) for one in found]


class ImportForm(ConsoleForm):
    """What to import."""

    format = forms.ChoiceField(
        label="From",
        initial="uptime_kuma",
        choices=lambda: [(name, one.label) for name, one in importers.items()],
    )
    uploads = ManyFilesField(
        required=False,
        label="Files",
        help_text=f"At most {BYTES_MOST >> 20} MB together. Choose several where the configuration has several.",
    )
    text = forms.CharField(
        required=False,
        strip=False,
        label="Or the text itself",
        widget=forms.Textarea(attrs={"rows": 8, "class": "wk-mono", "spellcheck": "false"}),
    )
    service_names: ClassVar = {"contents": "uploads"}

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


def _packed(files: list[SourceFile]) -> str:
    """Return files as one text for the page that asks for confirmation."""
    return base64.b64encode(zlib.compress(json.dumps([[one.name, one.text] for one in files]).encode())).decode()


def _unpacked(text: str) -> list[SourceFile]:
    """Return the files of `_packed`.

    Raises:
        Invalid: it is none (422).
    """
    try:
        # Escaped in JSON a character may take six bytes.
        data = zlib.decompressobj().decompress(base64.b64decode(text, validate=True), 6 * BYTES_MOST + 100_000)
        return [SourceFile(str(name), str(content)) for name, content in json.loads(data)]
    except (ValueError, TypeError, zlib.error) as error:
        raise Invalid({"contents": "the files did not arrive whole; choose them again"}) from error


@page("import/", "monitors_import", code="endpoints:create")
def import_view(request: HttpRequest) -> HttpResponse:
    """Choose files, look at what they would make, make it."""
    actor = require(request, "endpoints:create")
    require(request, "heartbeats:create")
    is_confirmed = request.method == "POST" and request.POST.get("step") == "make"
    form = ImportForm(
        request.POST if request.method == "POST" and not is_confirmed else None,
        request.FILES if request.method == "POST" and not is_confirmed else None,
    )
    try:
        if is_confirmed:
            files, format = _unpacked(request.POST.get("packed", "")), request.POST.get("format", "")
            report = import_monitors(actor=actor, format=format, files=files, dry_run=False)
            return _shown(request, report, "")
        if request.method == "POST" and form.is_valid():
            files, format = form.cleaned_data["files"], form.cleaned_data["format"]
            report = import_monitors(actor=actor, format=format, files=files, dry_run=True)
            return _shown(request, report, _packed(files))
    except DomainError as error:
        if is_confirmed:
            form = ImportForm({"format": request.POST.get("format", "")})
            form.is_valid()
        form.refuse(error)
    return render(
        request,
        "console/import.html",
        "Import monitors",
        status=422 if form.is_bound and form.errors else 200,
        form=form,
        formats=[{"name": name, "one": one} for name, one in importers.items()],
    )


def _shown(request: HttpRequest, report: ImportReport, packed: str) -> HttpResponse:
    counts = report.counts()
    order = {NEW: 0, EXISTS: 2, IMPOSSIBLE: 1}
    return render(
        request,
        "console/import_report.html",
        "What would be imported" if report.dry_run else "Imported",
        report=report,
        label=importers[report.format].label,
        counts=counts,
        packed=packed,
        rows=[_row(item, report.dry_run) for item in sorted(report.items, key=lambda item: order[item.outcome])],
        snippets=[item for item in report.items if item.snippet],
        back=reverse("admin:monitors_import"),
    )


def _row(item: ImportItem, dry_run: bool) -> dict[str, Any]:
    subject = subjects.get("maintenance" if item.kind == MAINTENANCE else item.kind)
    words = {NEW: "Will be made" if dry_run else "Made", EXISTS: "There already", IMPOSSIBLE: "Can't be made"}
    tones = {NEW: "info" if dry_run else "ok", EXISTS: "none", IMPOSSIBLE: "warn"}
    return {
        "item": item,
        "word": words[item.outcome],
        "tone": tones[item.outcome],
        "url": subject.url(item.id) if subject and item.id else "",
        "reason": item.reason if item.outcome == IMPOSSIBLE else "",
    }


navigate(WATCH, 90, "Import", icon="upload_file", url="admin:monitors_import", code="endpoints:create")
