"""The page by which monitors of other tools come in: choose, look, confirm."""

import base64
import json
import zlib

from django import forms
from django.http import HttpRequest, HttpResponse

from apps.core.admin.access import require
from apps.core.admin.imports import FilesForm, show_report
from apps.core.admin.navigation import WATCH, navigate
from apps.core.admin.pages import page, render
from apps.core.errors import DomainError, Invalid
from apps.core.imports import BYTES_MOST, ImportReport, SourceFile
from apps.monitors.importers import importers
from apps.monitors.importers.base import MAINTENANCE
from apps.monitors.services.imports import MonitorItem, import_monitors


class ImportForm(FilesForm):
    """What to import."""

    field_order = ("format",)

    format = forms.ChoiceField(
        label="From",
        initial="uptime_kuma",
        choices=lambda: [(name, one.label) for name, one in importers.items()],
    )


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


def _shown(request: HttpRequest, report: ImportReport[MonitorItem], packed: str) -> HttpResponse:
    return show_report(
        request,
        report,
        packed,
        label=importers[report.format].label,
        back="admin:monitors_import",
        subject_kinds={MAINTENANCE: "maintenance"},
        snippets=[item for item in report.items if item.snippet],
    )


navigate(WATCH, 90, "Import", icon="upload_file", url="admin:monitors_import", code="endpoints:create")
