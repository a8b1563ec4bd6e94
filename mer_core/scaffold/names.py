"""Names of new packages: which are possible, and what they are called in Python."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
import unicodedata

from mer_core import plugin
from mer_core.errors import UsageError

PATTERN = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
"""What :data:`mer_core.spec.NAME_PATTERN` allows and a distribution may be called too."""

LINE = 100
"""Longest line of the written packages."""

TAKEN = {"tests", "conftest"}
"""Modules that the written package has besides its own."""

USED = {
    "Any", "BoundCheck", "Field", "GatedMean", "Iterator", "Literal", "Mapping", "Member", "Path", "Rows", "Sequence",
    "Standardiser", "Tensor", "Tensors",
}  # fmt: skip
"""Class names that the written modules import or define."""


def check_name(name: str) -> None:
    """Refuse a name that a package cannot have.

    Raises:
        UsageError: with a name that can be had.
    """
    if not PATTERN.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a plugin name: small letters, digits and single dashes, a letter first.",
            f"For example {suggestion(name)!r}.",
        )
    reason = _unusable(module_name(name))
    if reason:
        raise UsageError(
            f"the package of {name!r} would be {module_name(name)!r}, {reason}.", f"Try {another(name)!r}."
        )


def suggestion(name: str) -> str:
    """The closest thing to ``name`` that is a plugin name."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name)
    plain = unicodedata.normalize("NFKD", spaced).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    return words if PATTERN.fullmatch(words) else f"my-{words or 'plugin'}"


def another(name: str) -> str:
    """A name beside ``name``, which is taken."""
    return f"{name}-2" if name.startswith("my-") else f"my-{name}"


def module_name(name: str) -> str:
    """``my-speech`` -> ``my_speech``."""
    return name.replace("-", "_")


def class_name(name: str, kind: str) -> str:
    """``my-speech`` -> ``MySpeech``; with the kind behind it where mer has that name itself."""
    plain = "".join(word.capitalize() for word in name.split("-"))
    return plain + kind.capitalize() if plain in USED | set(plugin.__all__) else plain


def import_line(module: str, names: list[str]) -> str:
    """``from module import ...`` as ruff's isort would have it: classes first, each sort by its letters."""
    ordered = sorted(names, key=lambda name: (not name[0].isupper(), name.lower()))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= LINE:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in ordered), ")"])


def _unusable(module: str) -> str:
    """Why no package can be called ``module``; empty if one can."""
    if keyword.iskeyword(module):
        return "a word of the Python language"
    if module in sys.stdlib_module_names:
        return "a module of Python's standard library"
    if module in TAKEN:
        return "which the package uses for its tests"
    return "which is installed already" if _importable(module) else ""


def _importable(module: str) -> bool:
    """Whether a real module has that name; a mere folder on the path does not count."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return True
    return found is not None and found.origin is not None
