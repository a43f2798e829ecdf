"""Where things live and who may reach them: paths, keys, database, Redis, hosts, apps."""

import ipaddress
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from config import env, keys
from config.settings.database import database_from_url
from config.supervisor.redis import socket_path
from config.version import VERSION

BASE_DIR = Path(__file__).resolve().parent.parent.parent
PRODUCT_VERSION = VERSION
TESTING = env.flag("WATCHKEEPER_TESTING")
DEBUG = env.flag("DEBUG")

DATA_DIR = Path(env.text("DATA_DIR", str(BASE_DIR / "var"))).resolve()
HOST = env.text("HOST", "127.0.0.1")
PORT = env.integer("PORT", 8000, least=1, most=65535)
PUBLIC_URL = env.text("PUBLIC_URL", f"http://{'127.0.0.1' if HOST in ('0.0.0.0', '::') else HOST}:{PORT}").rstrip("/")
_public = urlsplit(PUBLIC_URL)
if _public.scheme not in ("http", "https") or not _public.hostname:
    env.fail("PUBLIC_URL", f'"{PUBLIC_URL}" is not an address such as https://watch.example.org.')
PUBLIC_HOST = _public.hostname
PUBLIC_ORIGIN = f"{_public.scheme}://{_public.netloc}"
SECURE = _public.scheme == "https"
ALLOWED_HOSTS = env.words("ALLOWED_HOSTS") or [PUBLIC_HOST, "localhost", "127.0.0.1", "[::1]"]
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES")
OUTBOUND_ALLOW = env.networks("OUTBOUND_ALLOW")
METRICS_TOKEN = env.text("METRICS_TOKEN")
LOCAL_SERVER = env.flag("LOCAL_SERVER", True)
LOCAL_COMMANDS = env.flag("LOCAL_COMMANDS", False)
STATUS_STREAMS_MAX = env.integer("STATUS_STREAMS_MAX", 500, least=0, most=100_000)
CONNECTIVITY_PROBES = env.addresses("CONNECTIVITY_PROBES")
PING_LOG_PER_MINUTE = env.integer("PING_LOG_PER_MINUTE", 60, least=1, most=6000)

# --- database and Redis ------------------------------------------------------------------------------------------
DATABASE_URL = env.text("DATABASE_URL")
DATABASES: dict[str, dict[str, Any]] = {"default": database_from_url(DATABASE_URL, DATA_DIR, testing=TESTING)}
EMBEDDED = DATABASES["default"]["ENGINE"].endswith("sqlite3")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = env.text("REDIS_URL", f"unix://{socket_path(DATA_DIR)}")
REDIS_PREFIX = env.text("REDIS_PREFIX", "wk")


def _redis_endpoint(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return (parts.path, 0) if parts.scheme == "unix" else (parts.hostname or "", parts.port or 6379)


# The platform's own parts: no check and no delivery may be aimed at them.
OWN_ENDPOINTS: set[tuple[str, int]] = {_redis_endpoint(REDIS_URL)}
if not EMBEDDED:
    OWN_ENDPOINTS.add((DATABASES["default"]["HOST"] or "127.0.0.1", int(DATABASES["default"]["PORT"] or 5432)))

# --- keys --------------------------------------------------------------------------------------------------------


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def mail_domain(host: str) -> str:
    """Return a host as the part of a mail address after the @."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return "localhost" if address.is_loopback else f"[{'IPv6:' if address.version == 6 else ''}{address}]"


KEYS_MAY_BE_MADE = EMBEDDED and _loopback(PUBLIC_HOST)


def _key(name: str, command: str) -> str:
    given = env.text(name)
    if given:
        return given
    if KEYS_MAY_BE_MADE or "collectstatic" in sys.argv:
        return keys.load_or_create(DATA_DIR, name.lower())
    env.fail(name, f"must be given where the database is not SQLite or PUBLIC_URL is not loopback. Make one: {command}")


SECRET_KEY = _key("SECRET_KEY", "python3 -c 'import secrets; print(secrets.token_urlsafe(50))'")
VAULT_KEY = _key(
    "VAULT_KEY", "python3 -c 'import base64, secrets; print(base64.b64encode(secrets.token_bytes(32)).decode())'"
)
# Where the key is kept in a file, a running process takes another one from there (`manage.py vault rekey --new-key`).
VAULT_KEY_FILE = None if env.text("VAULT_KEY") else DATA_DIR / "keys" / "vault_key"
VAULT_KEY_AT_START = VAULT_KEY
VAULT_KEYS_OLD = [*env.words("VAULT_KEYS_OLD"), *(keys.former_vault_keys(DATA_DIR) if VAULT_KEY_FILE else [])]

# --- apps --------------------------------------------------------------------------------------------------------
LOCAL_APPS = [
    "apps.core",
    "apps.accounts",
    "apps.secrets",
    "apps.fleet",
    "apps.notifications",
    "apps.agents",
    "apps.monitors",
    "apps.containers",
    "apps.alerts",
    "apps.statuspage",
    "apps.realtime",
]
INSTALLED_APPS = [
    *(["daphne"] if "runserver" in sys.argv else []),  # its server alone needs it, and it costs a second of every start
    "unfold.apps.BasicAppConfig",
    "unfold.contrib.filters",
    "apps.core.admin.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_otp",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "channels",
    *LOCAL_APPS,
]
MIDDLEWARE = [
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "apps.core.middleware.EdgeFactsMiddleware",
    "apps.accounts.middleware.AllowedOriginsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "apps.accounts.middleware.ConsoleSessionMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- accounts ----------------------------------------------------------------------------------------------------
ADMIN_USERNAME = env.text("ADMIN_USERNAME", "admin")
ADMIN_PASSWORD = env.text("ADMIN_PASSWORD")
ADMIN_EMAIL = env.text("ADMIN_EMAIL")
AUTH_USER_MODEL = "accounts.User"
SILENCED_SYSTEM_CHECKS = ["auth.W004"]  # user names are unique without regard to case, which this check does not see
AUTHENTICATION_BACKENDS = ["apps.accounts.backends.AccountBackend"]
AUTH_PASSWORD_VALIDATORS = [{"NAME": "apps.accounts.policies.PolicyValidator"}]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
if TESTING:
    PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
LOGIN_URL = "/admin/login/"
LOGIN_REDIRECT_URL = "/admin/"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_NAME = "__Host-wk_session" if SECURE else "wk_session"
CSRF_COOKIE_NAME = "__Host-wk_csrf" if SECURE else "wk_csrf"
CSRF_TRUSTED_ORIGINS = [PUBLIC_ORIGIN]

# --- language, files ---------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True  # no collectstatic step: the files are served from where they lie
# Looking a file up when it is asked for spares each test client the reading of them all.
WHITENOISE_AUTOREFRESH = DEBUG or TESTING
WHITENOISE_MAX_AGE = 60  # then revalidated by ETag, so that an upgrade shows at once
DATA_UPLOAD_MAX_MEMORY_SIZE = 12 * 1024 * 1024

# --- mail --------------------------------------------------------------------------------------------------------
SMTP_URL = env.text("SMTP_URL")
MAIL_FROM = env.text("MAIL_FROM", f"watchkeeper@{PUBLIC_HOST}")

# Mail that comes in: the addresses of heartbeats, and nothing else.
SMTP_PORT = env.integer("SMTP_PORT", 0, least=0, most=65535)
SMTP_ADDRESS = env.text("SMTP_ADDRESS", "127.0.0.1")
SMTP_DOMAIN = env.text("SMTP_DOMAIN", mail_domain(PUBLIC_HOST)).lower()
SMTP_TLS_CERT, SMTP_TLS_KEY = env.text("SMTP_TLS_CERT"), env.text("SMTP_TLS_KEY")
if bool(SMTP_TLS_CERT) != bool(SMTP_TLS_KEY):
    env.fail("SMTP_TLS_KEY" if SMTP_TLS_CERT else "SMTP_TLS_CERT", "must be given too: STARTTLS needs both files.")

# --- Celery ------------------------------------------------------------------------------------------------------
CELERY_BROKER_URL = REDIS_URL.replace("unix://", "redis+socket://", 1) if REDIS_URL.startswith("unix:") else REDIS_URL
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 60,
    "global_keyprefix": f"{REDIS_PREFIX}:",
    "socket_timeout": 5,
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "work"
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_SEND_TASK_EVENTS = False
CELERY_WORKER_CONCURRENCY = 4
CELERY_TASK_ALWAYS_EAGER = TESTING
CELERY_TIMEZONE = "UTC"

# --- logging -----------------------------------------------------------------------------------------------------
LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", {"DEBUG", "INFO", "WARNING", "ERROR"})
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "apps.core.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        "django.request": {"level": "ERROR"},
        "django.security": {"level": "ERROR"},
        "uvicorn": {"level": "WARNING"},
        "uvicorn.error": {"level": "WARNING"},
        "celery": {"level": "WARNING"},
        "kombu": {"level": "ERROR"},
    },
}
VALIDATE_EVENTS = TESTING
