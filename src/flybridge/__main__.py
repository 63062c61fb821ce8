"""`python -m flybridge`."""

from flybridge.cli import main

main()
