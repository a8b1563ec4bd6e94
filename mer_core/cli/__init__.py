"""The command line. Each command turns flags into one call of a workflow and renders what returns."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the ``mer`` command: errors become one clear line and an exit code."""
    from mer_core.cli.app import run_app

    sys.exit(run_app(sys.argv[1:]))
