"""The vendors as they answer."""
