"""`python -m flybridge`."""

from flybridge.cli.app import main

main()
