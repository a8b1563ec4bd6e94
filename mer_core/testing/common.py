"""Checks that fit every kind of plugin: is it light to list, and are its options in order?"""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any, get_args

from mer_core.catalogue import Catalogue, Entry
from mer_core.errors import MerError
from mer_core.spec import plain
from mer_core.testing.kit import CheckFailed, NotApplicable, Raised, check, require
from mer_core.testing.subject import Subject
from mer_core.testing.words import said

FRAMEWORKS = ("torch", "transformers", "tensorflow", "jax", "onnxruntime", "open_clip")
"""What must not be loaded where options are validated."""

STORING = ("extractor", "deriver")
"""Kinds of plugins whose answers are stored under a fingerprint."""

HEAVY = (*FRAMEWORKS, "numpy", "librosa", "cv2", "scipy", "pandas", "av", "sklearn")
"""What must not be loaded where specs are listed: that happens in every command, ``mer --help`` too."""

MOVE = "Move what needs it into the module that the spec's target names."
WITHIN = "Import what needs it inside the functions that use it."
APART = "Put the options class into a module of its own, or import that inside the functions that use it."

_PROBE = """
import importlib, json, sys
found = []
for module, banned in json.loads(sys.argv[1]):
    before = set(sys.modules)
    importlib.import_module(module)
    found.append([name for name in banned if name in sys.modules and name not in before])
sys.stdout.write("\\n" + json.dumps(found))
"""


@check(cure="keep specs, options and implementation in three modules")
def light_import(subject: Subject) -> None:
    """Listing the plugin's specs loads no numpy and no torch; reading its options loads no torch."""
    module = listing_module(subject.catalogue, subject.entry)
    options = subject.spec.options.partition(":")[0]
    listed, *read = loaded_by([(module, HEAVY), *([(options, FRAMEWORKS)] if options else [])])
    within = MOVE if getattr(subject.spec, "target", "") else WITHIN
    require(
        not listed,
        f"importing {module}, which lists the specs, also imports {', '.join(listed)}: every mer command pays "
        f"for that. {star_import(module) or within}",
    )
    brought = ", ".join(name for names in read for name in names)
    require(
        not brought,
        f"importing {options}, which has the options class, also imports {brought}: options are "
        f"validated before that is needed. {star_import(options) or APART}",
    )


@check(cure="derive from `Options`; a docstring below each field; `content_digest` of a path in `fingerprint()`")
def options(subject: Subject) -> None:
    """Options survive JSON, refuse unknown keys, all fields are described, paths are in the fingerprint."""
    cls = subject.catalogue.options_class(type(subject.spec), subject.entry.full_name)
    _survive_json(cls, subject.options)
    if not any(field.is_required() for field in cls.model_fields.values()):
        _survive_json(cls, cls())
    _refuse_unknown(cls)
    bare = [name for name, field in cls.model_fields.items() if not field.description]
    require(
        not bare,
        f"no description of {', '.join(bare)}: write a docstring below each field of {cls.__name__}; "
        "'mer plugins show' prints it.",
    )
    if subject.spec.kind in STORING:
        _require_fingerprint(subject)


def _survive_json(cls: type[Any], value: Any) -> None:
    remedy = f"Use field types of {cls.__name__} that JSON can hold: runs are saved and repeated that way."
    try:
        stored = json.loads(json.dumps(value.model_dump(mode="json")))
        again = cls.model_validate(stored)
    except ValueError as error:
        raise CheckFailed(f"{value!r} cannot be written as JSON and read back ({error}). {remedy}") from None
    same = again == value or _in_full(again) == _in_full(value)
    require(same, f"{value!r} came back from JSON as {again!r}. {remedy}")


def _in_full(value: Any) -> dict[str, Any]:
    """Fields with absolute paths: that is how they are saved."""
    return {name: field.absolute() if isinstance(field, Path) else field for name, field in value}


def _refuse_unknown(cls: type[Any]) -> None:
    from pydantic import ValidationError

    required = {name: None for name, field in cls.model_fields.items() if field.is_required()}
    try:
        cls.model_validate({**required, "no_such_option": 1})
    except ValidationError as error:
        if any(problem["type"] == "extra_forbidden" for problem in error.errors()):
            return
    raise CheckFailed(
        f"{cls.__name__} accepts the unknown option 'no_such_option': a misspelt option would be ignored. "
        "Leave extra='forbid' of mer_core.plugin.Options as it is."
    )


def _require_fingerprint(subject: Subject) -> None:
    """Stored features depend on what the files hold that options name."""
    try:
        made = dict(subject.options.fingerprint())
    except (MerError, OSError):
        return  # what is not there or cannot be read: the check starts tells of it
    except Exception as error:
        raise Raised(f"fingerprint() raised {said(error, subject.spec.options)}.") from error
    try:
        json.dumps(plain(made), sort_keys=True)
    except (TypeError, ValueError) as error:
        raise CheckFailed(
            f"fingerprint() returned what JSON cannot hold ({error}). Return text, numbers, lists of them or None."
        ) from None
    for name, field in type(subject.options).model_fields.items():
        if _is_path(field.annotation) and getattr(subject.options, name) not in (None, (), []) and name not in made:
            raise CheckFailed(
                f"the option {name} is a path, but not in fingerprint(): other content under the same path would reuse "
                f'old features. Define fingerprint() with `return {{"{name}": content_digest(self.{name})}}`; '
                f'{{"{name}": None}} if what is there changes no result.'
            )


def _is_path(annotation: Any) -> bool:
    """Whether a field of that type can hold a path."""
    if isinstance(annotation, type) and issubclass(annotation, PurePath):
        return True
    return any(_is_path(part) for part in get_args(annotation))


def star_import(module: str) -> str:
    """What to write instead of ``from mer_core.plugin import *`` in ``module``; empty if that is not in it.

    The star takes every name that :mod:`mer_core.plugin` offers, those that load torch too.
    """
    try:
        source = inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return ""
    if not re.search(r"^\s*from mer_core\.plugin import \*", source, re.MULTILINE):
        return ""
    return (
        f"The 'from mer_core.plugin import *' in {module} takes all names there are, those that load torch too: "
        "import by name what is used, e.g. 'from mer_core.plugin import FusionSpec, hookimpl'."
    )


def listing_module(catalogue: Catalogue, entry: Entry) -> str:
    """Name of the module that lists the spec of ``entry``.

    Raises:
        NotApplicable: the plugin was made in a script or notebook.
    """
    key = (entry.distribution, entry.entry_point)
    names = [module_of(s.plugin) for s in catalogue.sources if (s.distribution, s.entry_point) == key]
    if not names or names[0] == "__main__":
        raise NotApplicable("the plugin was made in a script, not in a module that can be imported elsewhere")
    return names[0]


def module_of(plugin: object) -> str:
    """Name of the module that ``plugin`` is, or that its class is from."""
    if isinstance(plugin, ModuleType):
        return plugin.__name__
    return str((plugin if isinstance(plugin, type) else type(plugin)).__module__)


def loaded_by(modules: Sequence[tuple[str, Sequence[str]]]) -> list[list[str]]:
    """Import ``(module, banned)`` one after the other in a fresh process: which banned ones each brought in.

    Raises:
        CheckFailed: a module cannot be imported there.
    """
    process = python(["-c", _PROBE, json.dumps(modules)])
    if process.returncode:
        names = " and ".join(module for module, _ in modules)
        raise CheckFailed(f"importing {names} in a fresh process failed: {last_line(process.stderr)}.")
    found: list[list[str]] = json.loads(process.stdout.splitlines()[-1])
    return found


def python(
    arguments: Sequence[str], *, stdin: bytes = b"", environment: dict[str, str] | None = None, timeout: float = 600
) -> subprocess.CompletedProcess[bytes]:
    """Run this Python in a new process that finds what this one finds.

    Raises:
        CheckFailed: it did not end within ``timeout`` seconds.
    """
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    env = {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", **(environment or {})}
    command = [sys.executable, "-P", *arguments]
    try:
        return subprocess.run(command, input=stdin, capture_output=True, env=env, timeout=timeout, check=False)
    except subprocess.TimeoutExpired:
        raise CheckFailed(
            f"a fresh process was still busy after {timeout:.0f} s: look for what it waits for."
        ) from None


def last_line(stderr: bytes) -> str:
    """The last line of what a process complained about."""
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].rstrip(". ") if lines else "it said nothing"
