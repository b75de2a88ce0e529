"""What the tests of the harness share: pytester, so that ``pytest tests`` needs no further option."""

pytest_plugins = ["pytester"]
