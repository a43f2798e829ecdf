"""The only code that changes status pages, split by thing."""

from apps.statuspage.services.components import (
    create_component,
    create_group,
    delete_component,
    delete_group,
    end_overrides,
    update_component,
    update_group,
)
from apps.statuspage.services.derivation import refresh_components
from apps.statuspage.services.mailings import send_mailings
from apps.statuspage.services.notices import (
    add_update,
    create_notice,
    delete_notice,
    draft_from_alerts,
    edit_update,
    keep_times,
    publish_notice,
    update_notice,
)
from apps.statuspage.services.pages import (
    create_page,
    default_page,
    delete_page,
    remove_logo,
    set_logo,
    update_page,
)
from apps.statuspage.services.subscriptions import (
    add_webhook,
    ask_subscription,
    confirm_subscription,
    drop_unconfirmed,
    leave,
    remove_subscriber,
)

__all__ = [
    "add_update",
    "add_webhook",
    "ask_subscription",
    "confirm_subscription",
    "create_component",
    "create_group",
    "create_notice",
    "create_page",
    "default_page",
    "delete_component",
    "delete_group",
    "delete_notice",
    "delete_page",
    "draft_from_alerts",
    "drop_unconfirmed",
    "edit_update",
    "end_overrides",
    "keep_times",
    "leave",
    "publish_notice",
    "refresh_components",
    "remove_logo",
    "remove_subscriber",
    "send_mailings",
    "set_logo",
    "update_component",
    "update_group",
    "update_notice",
    "update_page",
]
