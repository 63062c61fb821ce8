"""The configuration: settings, and how they are read and checked."""
