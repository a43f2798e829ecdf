"""Where it runs: versions, folder, keys, disk, descriptors, mail."""

import contextlib
import os
import platform
import re
import resource
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import django
from django.conf import settings

from apps.core import disk, runtime_settings, storage
from apps.core.care.doctor.findings import Finding, failed, fine, notice
from config.supervisor import release
from config.supervisor.refusal import StartRefused

FULL_SOON_DAYS = 14
#: Sockets, their database connections and open files of a thousand subscribers.
DESCRIPTORS = 4096


def check_versions() -> Iterator[Finding]:
    """Say what runs, and whether the folder belongs to it."""
    yield fine(
        "versions",
        f"Watchkeeper {settings.PRODUCT_VERSION} on Python {platform.python_version()}, Django {django.get_version()}.",
    )
    try:
        folder = release.of_folder(Path(settings.DATA_DIR))
        if folder is None:
            return
        checkout = release.of_checkout(settings.BASE_DIR, version=settings.PRODUCT_VERSION)
        release.refuse_newer(Path(settings.DATA_DIR), folder=folder, checkout=checkout)
    except StartRefused as error:
        yield failed("versions", str(error))
        return
    if folder.version != settings.PRODUCT_VERSION:
        yield notice(
            "versions", f"The folder was last used by {folder.version}; the next start migrates it after a backup."
        )


def check_folder() -> Iterator[Finding]:
    """See that the folder is its owner's alone and can be written."""
    folder = Path(settings.DATA_DIR)
    if not folder.is_dir():
        yield failed("folder", f"{folder} is not there; start Watchkeeper once, or set DATA_DIR.")
        return
    mode = folder.stat().st_mode & 0o777
    if mode & 0o077:
        yield failed("folder", f"{folder} can be entered by others (mode {mode:o}); run `chmod 700 {folder}`.")
    elif not os.access(folder, os.W_OK):
        yield failed(
            "folder", f"{folder} can't be written by this user; run the doctor, and Watchkeeper, as its owner."
        )
    else:
        yield fine("folder", f"{folder} is readable by its owner alone.")


def check_keys() -> Iterator[Finding]:
    """See that nobody else can read the key files."""
    folder = Path(settings.DATA_DIR) / "keys"
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    if not files:
        yield fine("keys", "The keys come from the environment.")
        return
    for path in [folder, *files]:
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            yield failed("keys", f"{path} can be read by others (mode {mode:o}); run `chmod go-rwx {path}`.")
            return
    yield fine(
        "keys", f"{' and '.join(file.name for file in files)} are readable by their owner alone; keep a copy elsewhere."
    )


def check_disk() -> Iterator[Finding]:
    """Say how full the disk is and when it will be."""
    now = disk.usage()
    limit = float(runtime_settings.get("retention.disk_full_percent"))
    if now.percent >= limit:
        yield failed(
            "disk",
            f"The disk of {settings.DATA_DIR} is {now.percent:.0f} % full, the limit is {limit:.0f} %: no telemetry is"
            " taken any more. Free some space, or shorten the keep times in the settings.",
        )
        return
    usage = storage.usage()
    largest = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in usage.tables[:3])
    text = (
        f"The disk is {now.percent:.0f} % full ({now.free / 1e9:.1f} GB free);"
        f" the database takes {usage.total / 1e6:.1f} MB ({largest})."
    )
    if usage.full_at is None:
        yield fine("disk", f"{text} At the present growth it will not be full within a year.")
        return
    soon = usage.full_at - datetime.now(UTC) < timedelta(days=FULL_SOON_DAYS)
    say = notice if soon else fine
    yield say("disk", f"{text} At the growth of the last day it will be full on {usage.full_at:%Y-%m-%d}.")


def check_descriptors() -> Iterator[Finding]:
    """See that the web server may open enough files and sockets."""
    pid = 0
    with contextlib.suppress(OSError, ValueError):
        pid = int((Path(settings.DATA_DIR) / "run" / "web.pid").read_text())
    limits, used = None, ""
    with contextlib.suppress(OSError):
        limits = (
            re.search(r"^Max open files\s+(\d+)", Path(f"/proc/{pid}/limits").read_text(), re.MULTILINE)
            if pid
            else None
        )
    if limits is None:
        limit, whose = resource.getrlimit(resource.RLIMIT_NOFILE)[0], "a process"
    else:
        limit, whose = int(limits[1]), "the web server"
        with contextlib.suppress(OSError):
            used = f", {len(list(Path(f'/proc/{pid}/fd').iterdir()))} of them in use"
    if limit < DESCRIPTORS:
        yield notice(
            "descriptors",
            f"{whose.capitalize()} may open {limit} files and sockets{used}; for a thousand live followers run"
            f" `ulimit -n {DESCRIPTORS * 2}` before the start.",
        )
    else:
        yield fine("descriptors", f"{whose.capitalize()} may open {limit} files and sockets{used}.")


def check_mail() -> Iterator[Finding]:
    """Say whether mail can be sent."""
    if settings.SMTP_URL:
        yield fine("mail", f"Mail is sent as {settings.MAIL_FROM}.")
    else:
        yield notice(
            "mail",
            "No mail server is set (SMTP_URL), so passwords can't be reset by mail; use `manage.py reset-password`.",
        )
