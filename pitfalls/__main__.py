"""Run the command line: ``python -m pitfalls``."""

import sys

from pitfalls.harness.cli import main

if __name__ == "__main__":
    sys.exit(main())
