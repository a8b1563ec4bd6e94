"""The Typer application and the one place where errors become exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mer_core.cli import (
    INTERRUPTED,
    dataset,
    doctor,
    evaluate,
    extract,
    faces,
    features,
    finetune,
    plugins,
    predict,
    run,
    train,
    tune,
    weights,
)
from mer_core.errors import EnvironmentProblem, MerError, UsageError
from mer_core.files import cannot_write, disk_full


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
    commands = (run, extract, train, tune, finetune, predict, evaluate)
    for module in commands:
        app.command()(module.command)
    app.add_typer(dataset.app, name="dataset")
    app.add_typer(features.app, name="features")
    app.add_typer(faces.app, name="faces")
    app.add_typer(plugins.app, name="plugins")
    app.add_typer(weights.app, name="weights")
    app.command()(doctor.command)
    for registered, module in zip(app.registered_commands, (*commands, doctor), strict=True):
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
    as_json = "--json" in arguments
    try:
        result = build_app()(arguments, standalone_mode=not as_json)
    except SystemExit as stop:
        result = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        result = INTERRUPTED
    except Exception as error:
        return _report(error, as_json)
    code = result if isinstance(result, int) else 0
    if code == INTERRUPTED:
        _tell_interrupted(as_json, next(iter(arguments), ""))
    return code


def _report(error: Exception, as_json: bool) -> int:
    """Show any error as one message with its remedy; what mer did not foresee comes with its traceback."""
    from mer_core.cli.output import print_error

    known = _as_ours(error)
    if known is None:
        import traceback

        traceback.print_exception(error)
        hint = "This should not happen: please report it with the lines above and the output of 'mer doctor'."
        known = EnvironmentProblem(f"{type(error).__name__}: {error}.", hint)
    print_error(known, as_json)
    return known.exit_code


def _as_ours(error: Exception) -> MerError | None:
    """``error`` in our own tree; None where nobody foresaw it."""
    if isinstance(error, MerError):
        return error
    said = getattr(error, "format_message", None)  # the command line parser's errors
    if said is not None:
        return UsageError(str(said()), "See the command's --help.")
    if isinstance(error, OSError) and disk_full(error) and error.filename:
        return cannot_write(error.filename, error)
    if isinstance(error, OSError) and error.strerror and not disk_full(error):
        place = f"{error.filename}: " if error.filename else ""
        return EnvironmentProblem(f"{place}{error.strerror}.", "Check the path, its permissions and the disk's space.")
    if disk_full(error):  # libraries that write by themselves raise errors of their own
        return EnvironmentProblem(f"the disk is full: {error}.", "Free some space, or choose other --out and --cache.")
    return None


KEPT = {
    finetune.NAME: "Decoded clips are kept, and what was learnt up to the last checkpoint",
    tune.NAME: "Trials that were done are kept (name the same --out)",
}
"""What an interrupted command leaves, where that is not features."""


def _tell_interrupted(as_json: bool, command: str) -> None:
    message = "Interrupted."
    hint = f"{KEPT.get(command, 'What was extracted is kept')}; run the same command again to go on."
    if as_json:
        from mer_core.cli.output import print_json

        print_json({"error": {"kind": "Interrupted", "message": message, "hint": hint, "exit_code": INTERRUPTED}})
    else:
        sys.stderr.write(f"\n{message} {hint}\n")
