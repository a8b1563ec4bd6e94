"""Whose error it is: what a plugin raises becomes an error that names the plugin, its file and its line."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import TYPE_CHECKING

from mer_core.errors import EnvironmentProblem, FusionError, MerError, MissingPackageError, PluginError
from mer_core.faults import explain, missing_package
from mer_core.names import EXTRA, readable

if TYPE_CHECKING:
    from mer_core.catalogue import Entry

LONGEST = 400
"""What an exception says is quoted up to this many characters."""

_NO_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_MACHINE = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
    *(errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EIO, errno.ENETDOWN, errno.ENETUNREACH),
}
"""Errors of the operating system that no plugin can help."""

_NETWORK = {"ConnectionError", "ConnectTimeout", "ReadTimeout", "TimeoutError", "gaierror"}
"""Classes of errors that say so, those of requests too."""

_Step = tuple[FrameType, int]


@dataclass(frozen=True, slots=True)
class _Culprit:
    """The plugin that raised, the method of it that was called, and ``file, line N``."""

    entry: Entry
    method: str
    where: str


@contextmanager
def blame(called: Entry, method: str, *beside: Entry) -> Iterator[None]:
    """Turn whatever is raised inside into an error that names the plugin. Errors of mer's own and Ctrl-C pass.

    A :class:`mer_core.errors.FusionError` becomes an error that names the fusion among ``beside``.

    Args:
        called: the plugin whose ``method`` is called.
        beside: plugins that it calls in turn (a trainer calls the fusion); the error is theirs if they raised it.

    Raises:
        PluginError: with the plugin, the method, the error, its file and line.
        MissingPackageError: a package is not installed.
        EnvironmentProblem: no memory, no space, no network.
    """
    try:
        yield
    except FusionError as error:
        fusion = next((one for one in beside if one.spec.kind == "fusion"), None)
        if fusion is None:
            raise
        raise PluginError(f"{title(fusion)} {error.what}", error.hint) from error
    except MerError:
        raise
    except (Exception, SystemExit) as error:
        raise accuse(error, called, method, beside) from error


def accuse(error: BaseException, called: Entry, method: str, beside: Sequence[Entry] = ()) -> MerError:
    """The error to raise in place of ``error``; see :func:`blame`."""
    found = _culprit(error, called, method, beside)
    said = " ".join(str(error).split()).rstrip(".")
    what = f"{type(error).__name__} in {found.method}{f': {_short(said)}' if said else ''}"
    message = f"{title(found.entry)} raised {what}{f' ({found.where})' if found.where else ''}."
    if remedy := _about_machine(error, found.entry):
        return EnvironmentProblem(message, remedy)
    module = found.entry.spec.target.partition(":")[0]
    if missing_package(error, module):
        return MissingPackageError(message, explain(error, "", found.entry.distribution, module).remedy)
    return PluginError(message, _hint(found.entry, (called, *beside)))


def said(error: BaseException, where: str = "") -> str:
    """``ValueError: boom (my_package/fusion.py, line 41)``, in one line."""
    text = _short(" ".join(str(error).split()).rstrip("."))
    return f"{type(error).__name__}{f': {text}' if text else ''}{f' ({where})' if where else ''}"


def place(error: BaseException, target: str, *, function: bool = False) -> str:
    """``my_package/fusion.py, line 41``: the innermost frame of ``target``'s package; empty where there is none.

    With ``function`` its name follows: ``, in forward``.
    """
    package = target.partition(":")[0].partition(".")[0]
    own = [step for step in walk_tb(error.__traceback__) if package and _module(step[0]).split(".")[0] == package]
    if not own:
        return ""
    return _place(own[-1]) + (f", in {own[-1][0].f_code.co_name}" if function else "")


def title(entry: Entry) -> str:
    """``fusion mine@my-package``, as messages name a plugin."""
    kind = "data set" if entry.spec.kind == "dataset" else entry.spec.kind
    return f"{kind} {entry.full_name}"


def _hint(entry: Entry, involved: Sequence[Entry]) -> str:
    """What to do: check the plugin, or the other one that is not mer's own."""
    if not entry.own:
        authors = "" if entry.distribution == EXTRA else f", or report it to the authors of {entry.distribution}"
        return f"{check_line(entry)}{authors}."
    others = [one for one in involved if not one.own]
    if others:
        return f"{check_line(others[0])}: {entry.spec.name} works together with it."
    return "Please report it with the output of 'mer doctor'."


def check_line(entry: Entry) -> str:
    """How to check a plugin: the command, or the function where it is not installed."""
    if entry.distribution == EXTRA:
        return f"Check it with mer_core.testing.check_plugin({entry.spec.name!r}, plugins=[...])"
    return f"Run 'mer plugins check {readable(entry.saved_name)}'"


def _about_machine(error: BaseException, entry: Entry) -> str:
    """What to do where the machine is at fault; empty where it is not."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or _mentions(text, _NO_MEMORY):
        cpu = ", use --device cpu" if "cuda" in text else ", close other programs"
        return f"Give it less to hold ('mer plugins show {entry.spec.name}' lists its options){cpu}, or use less data."
    if "no space left on device" in text or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "Free some space, or choose other --out and --cache."
    reason = getattr(error, "reason", None)  # what urllib wraps
    if any(_about_network(one) for one in (error, reason)):
        return "Check the network and run the same command again."
    if isinstance(error, OSError) and error.errno in _MACHINE:
        return "Check the path, its permissions and the disk."
    return ""


def _about_network(error: object) -> bool:
    names = {cls.__name__ for cls in type(error).__mro__}
    return isinstance(error, OSError) and bool(names & _NETWORK)


def _mentions(text: str, parts: Sequence[str]) -> bool:
    return any(part in text for part in parts)


def _culprit(error: BaseException, called: Entry, method: str, beside: Sequence[Entry]) -> _Culprit:
    """Who owns the innermost frame that is any plugin's own; without one, ``called`` and the last frame."""
    steps = list(walk_tb(error.__traceback__))
    entries = (called, *beside)
    owners = [_owner(frame, entries) for frame, _ in steps]
    for step, owner in reversed(list(zip(steps, owners, strict=True))):
        if owner is not None:
            first = next(frame for (frame, _), one in zip(steps, owners, strict=True) if one is owner)
            return _Culprit(owner, method if owner is called else first.f_code.co_name, _place(step))
    inside = [step for step in steps if not _module(step[0]).startswith("mer_core.")]
    return _Culprit(called, method, _place(inside[-1]) if inside else "")


def _owner(frame: FrameType, entries: Sequence[Entry]) -> Entry | None:
    """The plugin whose package a frame belongs to; of several in one package the one that is nearest."""
    near = {entry.full_name + entry.spec.kind: _nearness(frame, entry) for entry in entries}
    best = max(entries, key=lambda entry: near[entry.full_name + entry.spec.kind])
    return best if near[best.full_name + best.spec.kind] > (0, False) else None


def _nearness(frame: FrameType, entry: Entry) -> tuple[int, bool]:
    """How many leading parts of the module's name a frame shares with a plugin, and whether its class does."""
    module, _, name = entry.spec.target.partition(":")
    shared = 0
    for own, other in zip(_module(frame).split("."), module.split("."), strict=False):
        if own != other:
            break
        shared += 1
    return shared, shared > 0 and frame.f_code.co_qualname.split(".")[0] == name


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _place(step: _Step) -> str:
    """``my_package/fusion.py, line 41``."""
    frame, line = step
    file, module = Path(frame.f_code.co_filename), _module(frame)
    depth = len(module.split(".")) + (file.name == "__init__.py")
    return f"{'/'.join(file.parts[-depth:])}, line {line}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
