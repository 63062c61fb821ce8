"""One process: its backends, wiring and lifetime."""
