"""Notify people when something needs attention, and when it is well again: by webhook, Slack and e-mail."""
