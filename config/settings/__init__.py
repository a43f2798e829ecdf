"""Settings, read from the environment once; every variable is described in `.env.example`."""

from config.settings.base import *  # noqa: F403

from config.settings.api import *  # noqa: F403  isort: skip
from config.settings.console import *  # noqa: F403  isort: skip
