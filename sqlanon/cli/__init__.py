"""The command line: the public names in a terminal. Parses, calls, shows; no logic of its own."""

from __future__ import annotations

import os
import re
import sys
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

import typer

from sqlanon.cli import audits, flows, measures, releases, reports, servers, specs, statements
from sqlanon.cli.options import app
from sqlanon.errors import ModelNotMet, SpecError, SqlanonError
from sqlanon.showing.terminal import complain, out, print_json

__all__ = [
    "app", "audits", "flows", "main", "measures", "releases", "reports", "run", "servers", "specs", "statements",
]  # fmt: skip

_INTERRUPTED = 130  # how the CLI library tells of Ctrl-C


_STOPPED = SqlanonError("interrupted")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line and returns its exit status; every failure is a sentence, and holds no cell value."""
    words = sys.argv[1:] if arguments is None else arguments
    as_json, verbose = "--json" in words, "--show-engine-errors" in words
    if not out.is_terminal:
        out.width = 500  # nobody reads it by the screen, so no name is broken
    try:
        status = _command()(args=words, standalone_mode=False, prog_name="sqlanon")
        sys.stdout.flush()
        if status == _INTERRUPTED:
            raise KeyboardInterrupt
        return int(status) if isinstance(status, int) else 0
    except SystemExit:
        return 0  # rich ends so when the reader of a pipe has gone away
    except SqlanonError as error:
        return _failed(error, error.exit_status, as_json, verbose)
    except typer.Exit as error:
        interrupted = error.exit_code == _INTERRUPTED
        return _failed(_STOPPED, 3, as_json, verbose) if interrupted else int(error.exit_code)
    except typer.exceptions.TyperException as error:
        told = error.format_message() if hasattr(error, "format_message") else str(error)
        if not told.strip():
            return 2  # the help was shown instead
        told = re.sub(r"\(Possible options: (.*)\)", r"did you mean \1?", told)
        return _failed(SpecError(told, where="usage"), 2, as_json, verbose)
    except (KeyboardInterrupt, typer.Abort):
        return _failed(_STOPPED, 3, as_json, verbose)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        told = f"internal error: {type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}; please report it"
        if verbose:
            traceback.print_exc()
        return _failed(SqlanonError(told), 3, as_json, verbose)


@cache
def _command() -> Callable[..., object]:
    """The commands with their options, as they are read from what declares them."""
    return typer.main.get_command(app)


def _failed(error: SqlanonError, status: int, as_json: bool, verbose: bool) -> int:
    complain(error, words=verbose)
    if as_json:
        models = [verdict.to_dict() for verdict in error.models] if isinstance(error, ModelNotMet) else []
        rules = [rule.to_dict() for rule in error.rules] if isinstance(error, ModelNotMet) else []
        found = {"error": type(error).__name__, "message": str(error), "exit_status": status, "models": models}
        print_json(found | ({"rules": rules} if rules else {}))
    return status


def run() -> None:
    """The entry point of the console script."""
    sys.exit(main())
