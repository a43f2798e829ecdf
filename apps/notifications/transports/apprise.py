"""Apprise: whatever other service that library knows. Best effort.

The library connects by itself, so a child process with a guard runs it: every connection that Python makes there is
asked of the outbound policy (`apps/notifications/apprise_child.py`), and the process ends at the time limit. What the
library hides is not seen: there is no status code, no answer and no Retry-After to read.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from django.conf import settings

from apps.core.errors import Invalid
from apps.core.fields import MASK
from apps.core.net import InvalidTarget, OutboundRefused, Purpose, check_host
from apps.core.runner import runner
from apps.notifications.transports.base import Field, Message, Outcome, Transport, excerpt, register
from apps.notifications.transports.posting import cut, text_of, title_of

TIMEOUT_S = 25.0
#: They act on this machine and not on another.
LOCAL = frozenset({"syslog", "dbus", "qt", "glib", "kde", "gnome", "windows", "macosx"})
_WORD = re.compile(r"[^/:@?&=,\s]{5,}")


@register
class Apprise(Transport):
    """One notification through the library."""

    kind = "apprise"
    label = "Other (Apprise)"
    note = (
        "Best effort: the Apprise library sends, and of what the other side answers only success or failure is seen. "
        "Connections are held to the outbound policy as far as Python makes them."
    )
    fields = (
        Field("url", "Apprise URL", required=True, secret=True,
              help="As the library's documentation says for the service: signal://…, zulip://…, sns://…"),
    )  # fmt: skip

    def clean(self, config: Mapping[str, Any]) -> None:
        """Check that the library knows the URL and that its host may be reached, as far as it names one."""
        import apprise  # 0.4 s, for those who use it

        url = config["url"]
        schema = url.partition(":")[0].lower()
        plugin = None if schema in LOCAL else apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if schema in LOCAL:
            raise Invalid({"config.url": f"{schema}:// acts on this machine; give a service elsewhere"})
        if plugin is None:
            raise Invalid({"config.url": "the Apprise library does not know such a URL, or a part of it is missing"})
        host = getattr(plugin, "host", None)
        if isinstance(host, str) and host:
            try:
                check_host(host, int(getattr(plugin, "port", None) or 443), Purpose.DELIVER)
            except OutboundRefused as error:
                raise Invalid({"config.url": error.message}) from error
            except InvalidTarget:
                pass  # of many services the first part is a token and no host

    async def send(self, config: Mapping[str, Any], message: Message) -> Outcome:
        """Send once, in a process of its own that a thread waits for."""
        outcome: Outcome = await runner().in_thread(_send, config["url"], message)
        return outcome


def _send(url: str, message: Message) -> Outcome:
    link = f"\n\n{message.url}" if message.url else ""
    job = {
        "url": url,
        "title": cut(title_of(message), 250),
        "body": cut(text_of(message) or title_of(message), 4000) + link,
        "type": "success"
        if message.is_over
        else {"critical": "failure", "warning": "warning"}.get(message.level, "info"),
        "allow": [str(network) for network in getattr(settings, "OUTBOUND_ALLOW", None) or ()],
        "own": [entry if isinstance(entry, str) else list(entry) for entry in getattr(settings, "OWN_ENDPOINTS", ())],
        "timeout_s": TIMEOUT_S,
    }
    shown = {"library": "apprise", "url": f"{url.partition(':')[0]}://{MASK}"}
    began = time.perf_counter()
    # Nothing of the platform's environment: it holds keys, and a proxy there would go round the policy.
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SSL_CERT_FILE", "SYSTEMROOT") if name in os.environ}
    try:
        done = subprocess.run(
            [sys.executable, "-m", "apps.notifications.apprise_child"],
            input=json.dumps(job).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=settings.BASE_DIR,
            env=kept,
            timeout=TIMEOUT_S,
            check=False,
        )
        said: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        said = {"ok": False, "said": f"It took longer than {TIMEOUT_S:g} s and was ended."}
    except (OSError, ValueError) as error:
        said = {"ok": False, "said": f"The library could not be run: {type(error).__name__}."}
    took = round((time.perf_counter() - began) * 1000, 1)
    text = str(said.get("said", ""))
    for word in _WORD.findall(url.partition("://")[2]):
        text = text.replace(word, MASK)
    if said.get("ok"):
        return Outcome(True, None, took, excerpt(text or "accepted"), request=shown)
    refused = str(said.get("refused", ""))
    return Outcome(
        False, None, took, excerpt(text), (refused or text or "The library could not send it.")[:500], request=shown
    )
