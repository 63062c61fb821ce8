"""Syncs Amplitude cohorts to AppsFlyer audiences."""
