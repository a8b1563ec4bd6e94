"""The command line."""


def main() -> None:
    """Entry point of the ``mer`` command."""
    raise SystemExit("not yet")
