"""The command line. Each command turns flags into one call of a workflow and renders what returns."""

from __future__ import annotations

import os
import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


def main() -> None:
    """Entry point of the ``mer`` command: errors become one clear line and an exit code."""
    try:
        from mer_core.cli.app import run_app
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
    code = run_app(sys.argv[1:])
    if code == INTERRUPTED:  # neither a thread inside a decoder nor the unloading of libraries may hold it up
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
