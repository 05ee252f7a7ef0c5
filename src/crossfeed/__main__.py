"""Entry point of ``python -m crossfeed``, the same as the command ``crossfeed``."""

from crossfeed.cli import main

main()
