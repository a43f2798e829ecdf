"""Inbox, channels, rules, webhooks and deliveries."""
