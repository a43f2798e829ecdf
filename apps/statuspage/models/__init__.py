"""Tables of the status pages."""

from apps.statuspage.models.components import Component, ComponentState, Group, StatusChange
from apps.statuspage.models.notices import Notice, NoticeEdit, NoticeUpdate
from apps.statuspage.models.pages import Page, PageLogo, PageState, StatusVersion
from apps.statuspage.models.subscribers import Mailing, Post, Subscriber

__all__ = [
    "Component",
    "ComponentState",
    "Group",
    "Mailing",
    "Notice",
    "NoticeEdit",
    "NoticeUpdate",
    "Page",
    "PageLogo",
    "PageState",
    "Post",
    "StatusChange",
    "StatusVersion",
    "Subscriber",
]
