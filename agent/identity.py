"""Who this agent is: its key, its certificate, and how it asks to be let in."""

import base64
import calendar
import contextlib
import hashlib
import json
import logging
import os
import platform
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

log = logging.getLogger(__name__)

SIGNED = b"watchkeeper-agent-v1\0"
POLL_S = 3.0


class Refused(Exception):
    """The platform does not want this agent; the text is its sentence.

    Args:
        status: of HTTP, or the close code of the socket.
        code: the platform's word for the reason.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Folder:
    """The state folder: key, certificate and settings, each readable by this user alone.

    Args:
        program: the agent's own file, where keys are used by a process apart.
    """

    def __init__(self, path: Path, program: str = "") -> None:
        self.path, self.program = path, program
        path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self, name: str) -> str:
        """Return a file's text, "" where there is none."""
        try:
            return (self.path / name).read_text()
        except FileNotFoundError:
            return ""

    def write(self, name: str, text: str) -> None:
        """Write a file whole or not at all."""
        fresh = self.path / f".{name}.new"
        with contextlib.suppress(FileNotFoundError):
            fresh.unlink()
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path / name)

    @property
    def settings(self) -> dict[str, Any]:
        """Return what was set at the enrolment: url, ca_file, poll_token, agent_id and the logs to follow."""
        try:
            found = json.loads(self.read("agent.json") or "{}")
        except ValueError:
            log.warning("agent.json is no JSON; enrol this host again")
            return {}
        return found if isinstance(found, dict) else {}

    def set(self, **values: Any) -> None:
        """Change settings; None removes one."""
        kept = {name: value for name, value in {**self.settings, **values}.items() if value is not None}
        self.write("agent.json", json.dumps(kept, indent=1))

    # --- the key, which never leaves this machine ------------------------------------------------------------------

    def sign(self, nonce: bytes) -> bytes:
        """Return the proof that this agent holds its key."""
        return base64.b64decode(self._ask_keys("sign", base64.b64encode(nonce).decode()))

    def request_for_certificate(self) -> str:
        """Return a signing request for the key (PEM)."""
        return self._ask_keys("request", socket.gethostname()[:64] or "host")

    def fingerprint(self) -> str:
        """Return the key's fingerprint, in groups of four digits, as the platform shows it to who approves."""
        return self._ask_keys("fingerprint")

    def certificate_times(self) -> tuple[float, float]:
        """Return the beginning and the end of the certificate, epoch seconds; (0, 0) where there is none."""
        if not self.read("certificate.pem"):
            return 0.0, 0.0
        times = self.settings.get("certificate_times")
        if not times:
            times = self._ask_keys("times", self.read("certificate.pem")).split()
            self.set(certificate_times=times)
        return float(times[0]), float(times[1])

    def take_certificate(self, pem: str, authority: str) -> None:
        """Keep a certificate that was signed for the key.

        Raises:
            ValueError: it is none.
        """
        times = self._ask_keys("times", pem).split()
        self.write("certificate.pem", pem)
        if authority:
            self.write("ca.pem", authority)
        self.set(certificate_times=times)

    def _ask_keys(self, what: str, argument: str = "") -> str:
        if not self.program:
            return use_keys(self, what, argument)
        done = subprocess.run(
            [sys.executable, self.program, "--state", str(self.path), "keys", what],
            input=argument, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise ValueError((done.stderr.strip() or "the key can't be used").removeprefix("watchkeeper-agent: "))
        return done.stdout


def use_keys(folder: Folder, what: str, argument: str) -> str:
    """Do something with the key or a certificate.

    The agent has this done by a process of its own that ends: cryptography takes a fifth of the memory that it needs
    otherwise, and is used a few times a week.

    Args:
        what: "sign" (a challenge, base64), "request" (for a host name), "fingerprint", or "times" (of a certificate).

    Raises:
        ValueError: the key or the certificate is none.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.x509.oid import NameOID

    if what == "times":
        found = x509.load_pem_x509_certificate(argument.encode())
        if hasattr(found, "not_valid_after_utc"):
            return f"{found.not_valid_before_utc.timestamp()} {found.not_valid_after_utc.timestamp()}"
        begin, end = found.not_valid_before, found.not_valid_after  # older versions mean UTC and don't say so
        return f"{calendar.timegm(begin.timetuple())} {calendar.timegm(end.timetuple())}"
    pem = folder.read("key.pem")
    if not pem:
        made = Ed25519PrivateKey.generate()
        form = serialization.PrivateFormat.PKCS8
        pem = made.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
        folder.write("key.pem", pem)
    key = serialization.load_pem_private_key(pem.encode(), None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("key.pem holds a key of another kind")
    if what == "sign":
        return base64.b64encode(key.sign(SIGNED + base64.b64decode(argument))).decode()
    if what == "request":
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, argument)])
        signed = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, None)
        return signed.public_bytes(serialization.Encoding.PEM).decode()
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digits = hashlib.sha256(der).hexdigest()
    return " ".join(digits[at : at + 4] for at in range(0, 64, 4))


def about_this_host() -> dict[str, str]:
    """Return what the platform is told of this machine."""
    try:
        system = platform.freedesktop_os_release().get("PRETTY_NAME") or platform.system()
    except (OSError, AttributeError):
        system = f"{platform.system()} {platform.release()}"
    return {"hostname": socket.gethostname()[:253], "architecture": platform.machine()[:32], "os": system[:200]}


def tls_of(ca_file: str) -> ssl.SSLContext:
    """Return how the platform's certificate is checked: by the system's authorities, or by a file's alone."""
    return ssl.create_default_context(cafile=ca_file or None)


def checked_url(url: str) -> str:
    """Return the platform's address without a slash at its end.

    Raises:
        ValueError: it is no http or https address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise ValueError("give the platform's address such as https://watch.example.org")
    return url.rstrip("/")


def post(url: str, body: dict[str, Any], ca_file: str = "") -> dict[str, Any]:
    """Post JSON and return the answer.

    Raises:
        Refused: the platform says no. OSError: it can't be reached.
    """
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json", "User-Agent": "watchkeeper-agent"}
    )
    context = tls_of(ca_file) if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(request, timeout=20, context=context) as response:
            answer = json.loads(response.read(1_000_000))
    except urllib.error.HTTPError as error:
        raise Refused(error.code, _sentence(error)) from None
    except ValueError:
        raise OSError("the answer is no JSON; is this the platform's address?") from None
    if not isinstance(answer, dict):
        raise OSError("the answer is no JSON object; is this the platform's address?")
    return answer


def _sentence(error: urllib.error.HTTPError) -> str:
    try:
        body = json.loads(error.read(100_000))
        detail = body.get("detail")
        if isinstance(detail, list):
            detail = "; ".join(f"{'.'.join(map(str, one.get('loc', ())))}: {one.get('msg')}" for one in detail)
        return str(detail or error.reason)
    except (ValueError, AttributeError, OSError):
        return f"HTTP {error.code} {error.reason}"


def ask_to_be_let_in(folder: Folder, *, url: str, token: str, name: str = "", ca_file: str = "") -> bool:
    """Send the key's signing request with an enrolment token.

    Returns:
        True where the certificate came at once; False where a person has to approve first.

    Raises:
        Refused, OSError: as `post`.
    """
    host = about_this_host()
    body = {**host, "name": name or host["hostname"], "csr": folder.request_for_certificate(), "token": token}
    answer = post(f"{url}/api/v1/agents/enroll", body, ca_file)
    folder.set(url=url, ca_file=ca_file or None, poll_token=answer.get("poll_token"))
    return _take_answer(folder, answer)


def ask_again(folder: Folder) -> bool:
    """Ask whether this host was approved; True where the certificate came.

    Raises:
        Refused: it was rejected, or the platform knows nothing of it. OSError: it can't be reached.
    """
    known = folder.settings
    body = {"poll_token": known.get("poll_token", "")}
    answer = post(f"{known['url']}/api/v1/agents/enroll/status", body, known.get("ca_file", ""))
    if answer.get("status") in ("rejected", "expired"):
        raise Refused(403, f"The wish of this host to be let in was {answer['status']}.")
    return _take_answer(folder, answer)


def _take_answer(folder: Folder, answer: dict[str, Any]) -> bool:
    if not answer.get("certificate"):
        return False
    folder.take_certificate(str(answer["certificate"]), str(answer.get("ca") or ""))
    folder.set(poll_token=None, agent_id=answer.get("agent_id"))
    return True
