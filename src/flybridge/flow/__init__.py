"""The pipeline from envelope to filing (`filing`), and the loop that runs it between inbox and store (`loop`)."""

from flybridge.flow.filing import AppFlow, Flow

__all__ = ["AppFlow", "Flow"]
