"""Why a plugin could not be read and what to do about it: an exception becomes a reason and a remedy."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, fields, is_dataclass
from types import TracebackType

from mer_core import spec as spec_module
from mer_core.errors import MerError
from mer_core.names import EXTRA as EXTRA
from mer_core.spec import API_VERSION

PROJECT = "the name in its pyproject.toml"
"""Where an entry point names its module."""

LONGEST = 400
"""A reason is one line of at most this many characters."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One sentence on what went wrong, one on what to do, and the ``file:line`` that raised (or empty)."""

    reason: str
    remedy: str
    where: str = ""


def explain(error: BaseException, doing: str, distribution: str, module: str = "", named_in: str = PROJECT) -> Fault:
    """Put an exception of a plugin into words.

    Args:
        doing: what mer was doing, e.g. ``importing my_speech.specs``.
        distribution: where the plugin comes from, ``extra`` if it is not installed.
        module: the module that was asked for; if this very one is missing, no package is.
        named_in: where that module is named, to be corrected if it is missing.
    """
    where = _where(error.__traceback__)
    if isinstance(error, MerError):
        return Fault(error.message, error.hint or _repair(distribution), where)
    said = " ".join(str(error).split())
    reason = f"{doing} raised {type(error).__name__}{f': {said}' if said else ''}"
    return Fault(_short(reason), _remedy(error, distribution, module, named_in, where), where)


def missing_package(error: BaseException, module: str) -> str:
    """Import name of the package that an error says is not installed; empty if it says nothing of the kind.

    A missing part of ``module``'s own package, or of mer itself, is not a missing package.
    """
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    top = error.name.partition(".")[0]
    return "" if top in (module.partition(".")[0], "mer_core") else top


def _remedy(error: BaseException, distribution: str, module: str, named_in: str, where: str) -> str:
    if absent := missing_package(error, module):
        return f"Run: pip install {absent} (or the package that provides it)"
    if _wants_newer_mer(error):
        return _newer(distribution)
    if isinstance(error, ModuleNotFoundError):
        asked = error.name is not None and f"{module}.".startswith(f"{error.name}.")
        place = named_in if asked or not where else f"the import in {where}"
        again = "" if distribution == EXTRA else f", or reinstall {distribution}"
        return f"The package lacks this module: correct {place}{again}."
    return _wrong_field(error, distribution) or _repair(distribution)


def _wants_newer_mer(error: BaseException) -> bool:
    """A name of mer's was asked for that this version does not have."""
    if isinstance(error, ImportError):
        return (error.name or "").partition(".")[0] == "mer_core"
    return isinstance(error, AttributeError) and str(error).startswith("module 'mer_core")


def _wrong_field(error: BaseException, distribution: str) -> str:
    """The remedy for a spec that was given a field it does not have: a slip of the pen, or a later API."""
    found = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", str(error))
    kind = getattr(spec_module, found.group(1), None) if found else None
    if not (isinstance(error, TypeError) and found and is_dataclass(kind)):
        return ""
    close = difflib.get_close_matches(found.group(2), [item.name for item in fields(kind)], n=1)
    return f"Did you mean the field {close[0]!r}?" if close else _newer(distribution)


def _newer(distribution: str) -> str:
    older = "" if distribution == EXTRA else f", or install an older version of {distribution}"
    return f"It may be written for a newer mer (this one has plugin API {API_VERSION}): update mer-toolkit{older}."


def _repair(distribution: str) -> str:
    return "Repair it." if distribution == EXTRA else f"Repair or update it, or run: pip uninstall {distribution}"


def _where(traceback: TracebackType | None) -> str:
    """``file:line`` of the innermost frame outside the import machinery and mer itself."""
    found = ""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        own = traceback.tb_frame.f_globals.get("__name__", "").startswith(("mer_core.", "importlib", "pluggy"))
        if not (own or code.co_filename.startswith("<frozen")):
            found = f"{code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
