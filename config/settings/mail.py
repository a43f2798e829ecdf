"""Settings of the mail listener: the same, but only what accepting a ping needs is loaded.

It halves the memory of that process and its start; console, API, checks and the work queue stay out.
"""

from config.settings import *  # noqa: F403

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django_otp",
    "config.mail_apps.Core",
    "config.mail_apps.Accounts",
    "config.mail_apps.Monitors",
]
