"""AppsFlyer postbacks to Amplitude events."""
