"""The console's admin site."""

from unfold.sites import UnfoldAdminSite


class ConsoleSite(UnfoldAdminSite):
    """Django's admin as the console: own login, own overview."""

    enable_nav_sidebar = True
