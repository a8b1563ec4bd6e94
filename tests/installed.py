"""Plugins as their users have them: packages built and installed into a temporary environment.

The environment sees the packages of the one that runs the tests (mer-toolkit and all it needs), so
that nothing is downloaded; what is installed into it is seen nowhere else.
"""

from __future__ import annotations

import json
import os
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ENTRY_POINT_GROUP = "mer.plugins"

NOTE_IMPORT = """\
import os as _os
if "MER_TEST_IMPORTS" in _os.environ:
    with open(_os.environ["MER_TEST_IMPORTS"], "a") as _file:
        _file.write(__name__ + "\\n")
"""
"""First lines of a module whose import a test wants to know of; see :meth:`Environment.imported`."""

SEVERAL = """\
import contextlib, io, json, sys
from mer_core.cli.app import run_app
results = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run_app(arguments)
    results.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(results))
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with its own plugins. Commands run in its folder ``work``."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def interpreter(self) -> Path:
        """Its Python."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def work(self) -> Path:
        """Where commands run; outside the repository, so that nothing is found by accident."""
        return self.folder / "work"

    def install(self, *packages: Path, editable: bool = False) -> None:
        """Build and install ``packages`` (folders) with one call of pip, without network."""
        pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check", "--quiet"]
        flags = ["--no-index", "--no-deps", "--no-build-isolation", "--no-compile", "--no-warn-script-location"]
        folders = [part for package in packages for part in (["-e"] if editable else []) + [str(package)]]
        command = [*pip, "--python", str(self.interpreter), "install", *flags, *folders]
        quiet = {"PIP_CONFIG_FILE": os.devnull, "PIP_ROOT_USER_ACTION": "ignore"}
        self._run(command, {**os.environ, **quiet}).check_returncode()

    def python(self, code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``code`` with its Python, with further environment variables."""
        command = [str(self.interpreter), "-c", code, *arguments]
        return self._run(command, {**os.environ, **self.variables, **variables})

    def mer(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``mer ARGUMENTS`` in it."""
        return self.python("from mer_core.cli import main; main()", *arguments, **variables)

    def several(self, *commands: Sequence[str]) -> list[tuple[int, str, str]]:
        """Run several ``mer`` commands in one process: exit code, stdout and stderr of each."""
        done = self.python(SEVERAL, json.dumps(commands))
        done.check_returncode()
        return [(code, out, err) for code, out, err in json.loads(done.stdout)]

    def imported(self, *arguments: str) -> list[str]:
        """Modules beginning with ``NOTE_IMPORT`` that ``mer ARGUMENTS`` imports, sorted."""
        noted = self.work / "imports.txt"
        noted.write_text("")
        done = self.mer(*arguments, MER_TEST_IMPORTS=str(noted))
        assert done.returncode == 0, done.stderr
        return sorted(set(noted.read_text().split()))

    def _run(self, command: Sequence[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.work, env=dict(variables), capture_output=True, text=True, encoding="utf-8", timeout=300
        )
        sys.stderr.write(done.stderr)  # pytest shows it where a test fails
        return done


def make_environment(folder: Path, **variables: str) -> Environment:
    """Make a virtual environment in ``folder``; ``variables`` are set in all that runs in it."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    environment = Environment(folder, variables)
    environment.work.mkdir()
    own = environment.python("import sysconfig; print(sysconfig.get_path('purelib'))").stdout.strip()
    lines = [f"import site; site.addsitedir({path!r})\n" for path in _parent_folders()]
    (Path(own) / "parent.pth").write_text("".join(lines), encoding="utf-8")
    return environment


def _parent_folders() -> list[str]:
    """Where the packages of this interpreter lie; with a virtual environment, of that."""
    user = [site.getusersitepackages()] if site.ENABLE_USER_SITE else []
    return [path for path in [*user, *site.getsitepackages()] if os.path.isdir(path)]


def write_package(
    folder: Path,
    name: str,
    files: Mapping[str, str],
    entry_points: Mapping[str, str],
    dependencies: Sequence[str] = (),
) -> Path:
    """Write the source of a small package; returns its folder, which :meth:`Environment.install` takes.

    Args:
        folder: in which a folder ``name`` is made.
        name: of the distribution.
        files: contents by path, e.g. ``{"good_specs.py": "..."}``.
        entry_points: of the group ``mer.plugins``, e.g. ``{"good": "good_specs"}``.
    """
    root = folder / name
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    points = "".join(f'{key} = "{value}"\n' for key, value in entry_points.items())
    project = f"""\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "{name}"
version = "1.0"
dependencies = {list(dependencies)}

[project.entry-points."{ENTRY_POINT_GROUP}"]
{points}
[tool.hatch.build.targets.wheel]
only-include = {sorted({path.split("/")[0] for path in files})}
"""
    (root / "pyproject.toml").write_text(project, encoding="utf-8")
    return root
