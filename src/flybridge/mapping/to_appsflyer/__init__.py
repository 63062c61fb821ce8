"""Amplitude events to AppsFlyer in-app events."""
