"""Amplitude cohorts kept in step with AppsFlyer audiences: run by run, until nothing differs."""
