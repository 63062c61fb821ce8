"""Who may see and change what: passwords, sessions, tokens, identity providers, and the checks of a request."""
