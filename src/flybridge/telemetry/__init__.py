"""Logs, metrics and door counts."""
