"""flybridge joins AppsFlyer and Amplitude, and accounts for every event."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("flybridge")
