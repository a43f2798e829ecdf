"""What stands between a stranger and an account: counted failures, known addresses, IP rules."""

from django.db import models
from django.utils import timezone

from apps.accounts.models.people import User
from apps.core.ids import new_id


class LoginGuard(models.Model):
    """Failures counted under one key: an account, or an account and a network together."""

    key = models.CharField(max_length=128, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    last_failed_at = models.DateTimeField(default=timezone.now, db_index=True)
    blocked_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.key}: {self.failures}"


class KnownAddress(models.Model):
    """A network from which a user has logged in: strangers' failures don't keep the user out there."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="known_addresses")
    network = models.CharField(max_length=64)
    last_used_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "network"], name="one_known_address_per_user_and_network")
        ]

    def __str__(self) -> str:
        return self.network


class IpRule(models.Model):
    """One line of the allow and block lists."""

    class Action(models.TextChoices):
        """What the rule does to addresses inside its network."""

        ALLOW = "allow", "Allow"
        BLOCK = "block", "Block"

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    cidr = models.CharField(max_length=64)
    action = models.CharField(max_length=8, choices=Action.choices)
    note = models.CharField(max_length=255, blank=True)
    position = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["cidr", "action"], name="one_ip_rule_per_network_and_action")]

    def __str__(self) -> str:
        return f"{self.action} {self.cidr}"
