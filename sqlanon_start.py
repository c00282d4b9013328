"""The console script, outside of the package, whose import takes a while: Ctrl-C is answered in that time too."""

from __future__ import annotations

import json
import sys


def run() -> None:
    """Runs the command line and ends the process with its exit status: 3 where it was interrupted while it loaded."""
    try:
        from sqlanon.cli import main

        status = main()
    except KeyboardInterrupt:
        status = 3
        sys.stderr.write("sqlanon: interrupted\n")
        if "--json" in sys.argv:
            told = {"error": "SqlanonError", "message": "interrupted", "exit_status": status, "models": []}
            sys.stdout.write(json.dumps(told) + "\n")
    sys.exit(status)


if __name__ == "__main__":
    run()
