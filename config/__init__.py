"""Settings, URL collection, ASGI and Celery of the platform."""
