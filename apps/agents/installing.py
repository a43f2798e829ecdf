"""What a host downloads: the script behind the install line, and the program, each with its digest."""

import shlex
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from django.conf import settings

from agent import bundle

SCRIPT = Path(__file__).parent / "install" / "install.sh"


@dataclass(frozen=True, slots=True)
class Download:
    """A file as it is served; `digest` is its SHA-256, hex."""

    body: bytes
    digest: str


def _download(text: str) -> Download:
    body = text.encode()
    return Download(body, sha256(body).hexdigest())


@lru_cache(1)
def program() -> Download:
    """Return the agent's program."""
    return _download(bundle.text())


@lru_cache(4)
def script(url: str = "") -> Download:
    """Return the install script. It knows our address and the digest of the program that goes with it.

    Args:
        url: the address it installs from; `PUBLIC_URL` where empty.
    """
    text = SCRIPT.read_text()
    text = text.replace("@URL@", shlex.quote(url or settings.PUBLIC_URL))
    return _download(text.replace("@SHA256@", shlex.quote(program().digest)))


def install_line(token: str = "", name: str = "") -> str:
    """Return the line to run on a host as a user who may use sudo.

    The token goes through a pipe: as an argument every user of the host could read it.

    Args:
        token: "": the script asks for it on the terminal.
    """
    address = shlex.quote(f"{settings.PUBLIC_URL}/agent/install.sh")
    called = f" --name {shlex.quote(name)}" if name else ""
    fetch = f"curl -fsSL {address} -o watchkeeper-install.sh"
    if not token:
        return f"{fetch} && sudo sh watchkeeper-install.sh{called}"
    return f"{fetch} && printf '%s\\n' {shlex.quote(token)} | sudo sh watchkeeper-install.sh --token-stdin{called}"
