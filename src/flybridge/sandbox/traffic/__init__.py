"""Generated traffic and its truth."""
