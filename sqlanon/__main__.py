"""`python -m sqlanon`: the command line without the console script."""

from sqlanon.cli import run

run()
