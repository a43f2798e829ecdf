"""Limits of change in the console."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, Q
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from apps.core.admin.access import require
from apps.core.admin.base import ConsoleAdmin
from apps.core.admin.columns import column
from apps.core.admin.navigation import ADMINISTER, navigate
from apps.core.templatetags.console import badge
from apps.fleet import services
from apps.fleet.admin.command_forms import ChangeLimitForm
from apps.fleet.models import ChangeLimit, ChangeSlot, Server
from apps.fleet.services.change_limits import most_of, sentence_of


@admin.register(ChangeLimit)
class ChangeLimitAdmin(ConsoleAdmin):
    """How many servers may be under change at once."""

    codes: ClassVar = {
        "view": "change_limits:view",
        "add": "change_limits:create",
        "change": "change_limits:update",
        "delete": "change_limits:delete",
    }
    subject_kind = "change_limit"
    list_title = "Limits of change"
    intro = (
        "How many servers may be under change at the same time. Every command draws from these limits: on many servers "
        "it waits for room, on one it is refused with the names of those who hold it."
    )
    add_label = "Add limit"
    empty: ClassVar = (
        "safety_check",
        "No limit yet",
        "Without one, commands may run on every server at once. Add one for a tag, such as 10 percent of “web”.",
    )
    form_class = ChangeLimitForm
    list_display = ("of", "most", "busy", "state")
    list_filter = ("enabled",)
    search_fields = ("tag",)
    search_help_text = "Tag"
    ordering = ("tag", "id")
    live_events = "command.started command.finished change_limit.*"

    def row_tone(self, row: ChangeLimit) -> str:
        """Calm down what is switched off."""
        return "" if row.enabled else "muted"

    def prepare_rows(self, request: HttpRequest, rows: list[Any]) -> None:
        """Count the servers and those under change, for all limits at once."""
        tags = [row.tag for row in rows if row.tag]
        busy = Q(change_slots__until__gt=timezone.now())
        servers = Server.objects.filter(tags__name__in=tags).values("tags__name").order_by("tags__name")
        counted = {
            one["tags__name"]: (one["n"], one["b"])
            for one in servers.annotate(n=Count("pk", distinct=True), b=Count("pk", filter=busy, distinct=True))
        }
        every = Server.objects.aggregate(n=Count("pk", distinct=True), b=Count("pk", filter=busy, distinct=True))
        for row in rows:
            row.counted = counted.get(row.tag, (0, 0)) if row.tag else (every["n"], every["b"])

    @column("Of", order="tag")
    def of(self, row: ChangeLimit) -> str:
        """Show which servers are counted."""
        return str(row).capitalize()

    @column("At most")
    def most(self, row: ChangeLimit) -> str:
        """Show how many may be."""
        total = row.counted[0]  # type: ignore[attr-defined]
        servers = "1 server" if total == 1 else f"{total} servers"
        if row.percent_most is None:
            return f"{row.hosts_most} of {servers}"
        said = [f"{row.hosts_most}"] if row.hosts_most is not None else []
        return f"{' or '.join([*said, f'{row.percent_most} %'])}: {most_of(row, total)} of {servers}"

    @column("Under change", css="tight figure")
    def busy(self, row: ChangeLimit) -> str:
        """Show how many are."""
        return str(row.counted[1])  # type: ignore[attr-defined]

    @column("State", css="tight")
    def state(self, row: ChangeLimit) -> SafeString:
        """Show whether it holds, and whether there is room."""
        if not row.enabled:
            return badge("off")
        total, busy = row.counted  # type: ignore[attr-defined]
        return badge("warning", "No room") if busy >= most_of(row, total) else badge("enabled", "Room")

    def facts(self, request: HttpRequest, row: ChangeLimit) -> list[tuple[str, Any]]:
        """Return what the page says."""
        self.prepare_rows(request, [row])
        slots = ChangeSlot.objects.filter(until__gt=timezone.now()).select_related("server").order_by("taken_at")
        if row.tag:
            slots = slots.filter(server__tags__name=row.tag)
        return [
            ("State", self.state(row)),
            ("Of", self.of(row)),
            ("Limit", sentence_of(row, row.counted[0]) + "."),  # type: ignore[attr-defined]
            ("Under change", ", ".join(f"{slot.server.name} ({slot.holder_name})" for slot in slots[:20]) or "None"),
        ]

    def create(self, request: HttpRequest, data: dict[str, Any]) -> ChangeLimit:
        """Add a limit."""
        return services.create_change_limit(actor=require(request, "change_limits:create"), values=data)

    def update(self, request: HttpRequest, row: ChangeLimit, data: dict[str, Any]) -> ChangeLimit:
        """Change a limit."""
        return services.update_change_limit(
            limit_id=row.pk, actor=require(request, "change_limits:update"), values=data
        )  # fmt: skip

    def remove(self, request: HttpRequest, row: ChangeLimit) -> None:
        """Remove a limit."""
        services.delete_change_limit(limit_id=row.pk, actor=require(request, "change_limits:delete"))

    def delete_warning(self, row: ChangeLimit) -> str:
        """Say what it means."""
        return f"From then on commands may run on any number of {row} at once, as far as no other limit counts them."


navigate(
    ADMINISTER, 34, "Limits of change", icon="safety_check", url="admin:fleet_changelimit_changelist",
    code="change_limits:view",
)  # fmt: skip
