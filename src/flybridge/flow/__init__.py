"""The pipeline from envelope to filing (`filing`), and the loop that runs it between inbox and store (`loop`)."""

from flybridge.flow.app import AppFlow
from flybridge.flow.filing import Flow

__all__ = ["AppFlow", "Flow"]
