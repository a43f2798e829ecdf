"""The status pages in the console."""

from apps.statuspage.admin import components, notices, pages, subscribers

__all__ = ["components", "notices", "pages", "subscribers"]
