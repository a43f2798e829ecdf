"""The Celery app. Its worker process also hosts the pulse, the runner and, embedded, beat and the local sampler."""

import os
from typing import Any

from config.starting import loading

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
# The checks judge code, which `make lint` does; here they would load every page and route into a process that has none.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

with loading():
    import django
    from celery import Celery, bootsteps
    from celery.schedules import schedule
    from django.apps import apps

    if not apps.ready:  # as it is where a web process asks for this module
        django.setup()

app = Celery("watchkeeper")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

#: Slow work that may wait while the broker is away; what people are woken by is swept by the pulse.
app.conf.beat_schedule = {
    "core.prune": {"task": "core.prune", "schedule": schedule(300.0)},
    "secrets.drill": {"task": "secrets.drill", "schedule": schedule(3600.0)},
    "fleet.prune_logs": {"task": "fleet.prune_logs", "schedule": schedule(60.0)},
    "fleet.roll_up": {"task": "fleet.roll_up", "schedule": schedule(60.0)},
    "monitors.roll_up": {"task": "monitors.roll_up", "schedule": schedule(60.0)},
    "monitors.drop_series": {"task": "monitors.drop_series", "schedule": schedule(60.0)},
}


class PulseStep(bootsteps.StartStopStep):
    """Starts the pulse and the runner with the worker, stops them with it."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: object, **options: object) -> None:
        super().__init__(parent, **options)
        self.pulse: Any = None

    def start(self, parent: object) -> None:
        from apps.core.pulse import Pulse
        from apps.core.runner import runner

        runner()
        self.pulse = Pulse()
        self.pulse.start()

    def stop(self, parent: object) -> None:
        from apps.core.runner import runner
        from apps.fleet.services import leave_commands

        if self.pulse is not None:
            self.pulse.stop()
        # In all it may take 8 s; then what still lives is killed.
        leave_commands(finish_s=1.0, end_s=3.0)
        runner().stop(3.0)


class BeatStep(bootsteps.StartStopStep):
    """Runs beat as a thread of the worker where there is no process of its own for it."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: object, **options: object) -> None:
        super().__init__(parent, **options)
        self.beat: Any = None

    def include_if(self, parent: object) -> bool:
        return os.environ.get("WATCHKEEPER_EMBED_BEAT") == "1"

    def start(self, parent: object) -> None:
        from celery.beat import EmbeddedService
        from django.conf import settings

        self.beat = EmbeddedService(app, thread=True, schedule_filename=str(settings.DATA_DIR / "beat-schedule"))
        self.beat.start()

    def stop(self, parent: object) -> None:
        if self.beat is not None:
            self.beat.stop()


class SamplerStep(bootsteps.StartStopStep):
    """Samples the platform's own host; a lease lets one worker of all do it."""

    requires = ("celery.worker.components:Pool",)

    def __init__(self, parent: object, **options: object) -> None:
        super().__init__(parent, **options)
        self.sampler: Any = None

    def include_if(self, parent: object) -> bool:
        from django.conf import settings

        return bool(settings.LOCAL_SERVER)

    def start(self, parent: object) -> None:
        from apps.fleet.sampler import LocalSampler

        self.sampler = LocalSampler()
        self.sampler.start()

    def stop(self, parent: object) -> None:
        if self.sampler is not None:
            self.sampler.stop()


app.steps["worker"].update({PulseStep, BeatStep, SamplerStep})
