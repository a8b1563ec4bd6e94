"""The Typer application and the one place where errors become exit codes."""

from __future__ import annotations

import os
import sys
import threading
from typing import Annotated

import typer

from mer_core.cli import dataset, doctor, evaluate, extract, faces, features, plugins, predict, run, train
from mer_core.errors import MerError

INTERRUPTED = 130


def build_app() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="mer",
        help="Multimodal emotion recognition: from raw video clips to a scored, reusable model.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    for module in (run, extract, train, predict, evaluate):
        app.command()(module.command)
    app.add_typer(dataset.app, name="dataset")
    app.add_typer(features.app, name="features")
    app.add_typer(faces.app, name="faces")
    app.add_typer(plugins.app, name="plugins")
    app.command()(doctor.command)
    for registered, module in zip(
        app.registered_commands, (run, extract, train, predict, evaluate, doctor), strict=True
    ):
        registered.name = module.NAME
    return app


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"mer {version('mer-toolkit')}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Multimodal emotion recognition: from raw video clips to a scored, reusable model."""


def run_app(arguments: list[str]) -> int:
    """Run ``mer ARGUMENTS`` and return the exit code."""
    try:
        result = build_app()(arguments, standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return _interrupted()
    except MerError as error:
        from mer_core.cli.output import print_error

        print_error(error, as_json="--json" in arguments)
        return error.exit_code
    return result if isinstance(result, int) else 0


def _interrupted() -> int:
    """Say so and leave at once: a thread that is still inside a decoder must not hold up the exit."""
    sys.stderr.write("\nInterrupted. What was extracted is kept; run the same command again to go on.\n")
    sys.stderr.flush()
    sys.stdout.flush()
    if threading.active_count() > 1:
        os._exit(INTERRUPTED)
    return INTERRUPTED
