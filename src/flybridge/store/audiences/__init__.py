"""Audiences in the store."""
