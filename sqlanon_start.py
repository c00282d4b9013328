"""The console script, outside of the package, whose import takes a while: Ctrl-C is answered in that time too."""

from __future__ import annotations

import json
import os
import signal
import sys
from types import FrameType


def interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C as Python answers it, but a moment later where Python would lose it: as it tidies up after an import."""
    code = frame.f_code if frame is not None else None
    if code is not None and (code.co_filename, code.co_name) == ("<frozen importlib._bootstrap>", "cb"):
        from threading import Timer

        Timer(0.01, os.kill, (os.getpid(), number)).start()
        return
    raise KeyboardInterrupt


def run() -> None:
    """Runs the command line and ends the process with its exit status: 3 where it was interrupted while it loaded."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, interrupt)
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
