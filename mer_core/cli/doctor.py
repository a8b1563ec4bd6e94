"""``mer doctor``: what this installation is made of and whether it can work."""

from __future__ import annotations

from typing import Any

import typer

from mer_core.cli.flags import CacheFlag, Json
from mer_core.cli.output import print_json, stdout_console

NAME = "doctor"


def command(cache: CacheFlag = None, json: Json = False) -> None:
    """Check versions, GPU, optional packages, cache and plugins. Exit 3 if something needs repair."""
    from mer_core.workflows.doctor import diagnose

    checks = diagnose(cache)
    broken = any(check.state == "problem" for check in checks)
    if json:
        document: dict[str, Any] = {"ok": not broken, "checks": [check.as_dict() for check in checks]}
        print_json(document)
    else:
        console = stdout_console()
        marks = {"ok": "[green]ok     [/]", "note": "[yellow]note   [/]", "problem": "[bold red]problem[/]"}
        for check in checks:
            console.print(f"{marks[check.state]} [bold]{check.name}[/] ", end="")
            console.print(check.found, markup=False)
            if check.remedy:
                console.print(f"        {check.remedy}", markup=False)
    if broken:
        raise typer.Exit(3)
