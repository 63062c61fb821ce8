"""What an operator does to a bridge: forget, replay, relocate, import, check."""
