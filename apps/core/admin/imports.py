"""What the pages share by which things of other tools come in: files or text, a look at them, the report."""

from typing import Any, ClassVar

from django import forms
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from apps.core.admin.forms import ConsoleForm
from apps.core.admin.pages import render
from apps.core.imports import BYTES_MOST, EXISTS, FILES_MOST, IMPOSSIBLE, NEW, ImportItem, ImportReport, SourceFile
from apps.core.registries import subjects

_ORDER = {NEW: 0, IMPOSSIBLE: 1, EXISTS: 2}


class _ManyFiles(forms.ClearableFileInput):
    allow_multiple_selected = True


class _ManyFilesField(forms.FileField):
    widget = _ManyFiles

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        """Return the files, none being allowed."""
        found = data if isinstance(data, list | tuple) else [data] if data else []
        return [super(_ManyFilesField, self).clean(one, initial) for one in found]


class FilesForm(ConsoleForm):
    """Files, or the text of one; `cleaned_data["files"]` holds them as `SourceFile`s."""

    uploads = _ManyFilesField(
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


def show_report(
    request: HttpRequest,
    report: ImportReport[Any],
    packed: str,
    *,
    label: str,
    back: str,
    subject_kinds: dict[str, str],
    snippets: list[Any] | None = None,
) -> HttpResponse:
    """Show what would be made, or what was.

    Args:
        packed: what the page sends back to make it; "" once it is made.
        label: of the format.
        back: name of the page where one chooses.
        subject_kinds: kind of a thing -> its name in `registries.subjects`, where that differs.
    """
    items = sorted(report.items, key=lambda item: _ORDER[item.outcome])
    return render(
        request,
        "console/import_report.html",
        "What would be imported" if report.dry_run else "Imported",
        report=report,
        label=label,
        counts=report.counts(),
        packed=packed,
        rows=[_row(item, report.dry_run, subject_kinds.get(item.kind, item.kind)) for item in items],
        snippets=snippets or [],
        back=reverse(back),
    )


def _row(item: ImportItem, dry_run: bool, subject_kind: str) -> dict[str, Any]:
    subject = subjects.get(subject_kind)
    words = {NEW: "Will be made" if dry_run else "Made", EXISTS: "There already", IMPOSSIBLE: "Can't be made"}
    tones = {NEW: "info" if dry_run else "ok", EXISTS: "none", IMPOSSIBLE: "warn"}
    return {
        "item": item,
        "word": words[item.outcome],
        "tone": tones[item.outcome],
        "url": subject.url(item.id) if subject and item.id else "",
        "reason": item.reason if item.outcome == IMPOSSIBLE else "",
    }
