"""``python -m capfix_cli`` is the same as ``capfix``."""

from capfix_cli.cli.app import main

main()
