"""`flybridge demo`: everything at once on this machine, and a comparison that can fail."""
