"""The second factor: a TOTP device with a sealed seed, and hashed recovery codes."""

import base64
import time

from django.db import models
from django.utils import timezone
from django_otp.models import Device
from django_otp.oath import TOTP

from apps.accounts.models.people import User
from apps.core.fields import SealedTextField
from apps.core.ids import new_id

STEP_S = 30
TOLERANCE = 1  # steps a clock may be early or late


class TotpDevice(Device):
    """An authenticator app. django-otp's own TOTP device keeps its seed in clear text; this one seals it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.OneToOneField(User, on_delete=models.CASCADE, related_name="totp_device")
    seed = SealedTextField()  # base32
    last_step = models.BigIntegerField(default=-1)  # of the last accepted code: none is accepted twice
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "authenticator"

    def __str__(self) -> str:
        return f"authenticator of {self.user_id}"

    def verify_token(self, token: str) -> bool:
        """Return whether `token` is this device's code now, give or take 30 s; each code counts once.

        Source: RFC 6238, section 5.2 (one-time use).
        """
        if len(token) != 6 or not token.isascii() or not token.isdigit():
            return False
        totp = TOTP(base64.b32decode(self.seed), STEP_S)
        totp.time = time.time()
        if not totp.verify(int(token), TOLERANCE, self.last_step + 1):
            return False
        step = totp.t()
        # The condition lets one of two simultaneous logins with the same code pass.
        accepted = type(self).objects.filter(id=self.id, last_step__lt=step).update(last_step=step)
        self.last_step = step
        return accepted == 1


class RecoveryCode(models.Model):
    """One of ten codes that stand in for a lost device, each once. Only its hash is kept."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="recovery_codes")
    code_hash = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "code_hash"], name="one_recovery_code_per_hash")]

    def __str__(self) -> str:
        return f"recovery code of {self.user_id}"
