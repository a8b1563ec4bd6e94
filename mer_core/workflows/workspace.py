"""What every workflow works with: the catalogue, the cache, and how hard to work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mer_core.errors import EnvironmentProblem, UsageError
from mer_core.protocols import Progress
from mer_core.registry import Catalogue, discover
from mer_core.workflows.places import Cache, open_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Plugins, cache and working conditions; nothing in here changes a result.

    Args:
        workers: decoding threads; None for all cores.
        devices: torch devices that extract at the same time, of the same kind as the run's; none: that one alone.
        verify: hash every media file's content again instead of trusting size and time.
        retry: try clips again that are recorded as having killed the process.
        progress: called often with ``(stage, done, total, note)``.
        listeners: whether runs are announced to plugins with event hooks.
        notice: called with a sentence that is to be read before work goes on: what is sent to a server, what was done
            before.
        work: folder in which a training keeps what it has so far, to go on there when it was killed and is repeated;
            a run's own is below its ``out``.
    """

    catalogue: Catalogue
    cache: Cache
    workers: int | None = None
    devices: tuple[str, ...] = ()
    verify: bool = False
    retry: bool = False
    progress: Progress | None = None
    listeners: bool = True
    notice: Callable[[str], None] | None = None
    work: Path | None = None


def open_workspace(
    cache: Path | None = None,
    *,
    workers: int | None = None,
    devices: Iterable[str] = (),
    verify: bool = False,
    retry: bool = False,
    progress: Progress | None = None,
    plugins: Iterable[object] = (),
    listeners: bool = True,
    notice: Callable[[str], None] | None = None,
    work: Path | None = None,
) -> Workspace:
    """Discover plugins and open the cache.

    Args:
        cache: its folder; None for ``$MER_CACHE`` or the user's cache folder.
        devices: that extract at the same time, such as ``("cuda:0", "cuda:1")``.
        plugins: further plugin objects beside the installed ones (for notebooks and tests).
        listeners: False to tell no plugin of the runs in this workspace.
        notice: called with what is sent to a server, before it is; see :class:`Workspace`.
        work: folder in which :func:`mer_core.fit` goes on where it was killed.
    """
    return Workspace(
        catalogue=discover(plugins),
        cache=open_cache(cache),
        workers=workers,
        devices=tuple(devices),
        verify=verify,
        retry=retry,
        progress=progress,
        listeners=listeners,
        notice=notice,
        work=work,
    )


def pick_device(wanted: str) -> str:
    """``auto`` becomes ``cuda:0`` where there is a GPU that torch can use, else ``cpu``.

    Raises:
        UsageError: torch knows no such kind of device.
        EnvironmentProblem: a GPU is asked for and torch sees none.
    """
    if wanted == "cpu":
        return "cpu"
    import torch

    available = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda:0" if available else "cpu"
    if wanted.startswith("cuda") and not available:
        raise EnvironmentProblem(
            f"--device {wanted}: torch sees no GPU here.", "Use --device cpu, or see 'mer doctor'."
        )
    try:
        torch.device(wanted)
    except RuntimeError:
        raise UsageError(f"--device {wanted}: there is no such device.", "Use auto, cpu or cuda:0.") from None
    return wanted


def pick_devices(wanted: Sequence[str], first: str) -> tuple[str, ...]:
    """``wanted``, all of the kind of ``first``: other kinds compute in another precision, for other answers.

    Raises:
        UsageError, EnvironmentProblem: one of them is of another kind, or not there.
    """
    found = tuple(pick_device(one) for one in wanted)
    kind = first.partition(":")[0]
    for one in found:
        if one.partition(":")[0] != kind:
            raise UsageError(f"--devices {one}: the run computes on {first}.", f"Name devices of the kind {kind}.")
    return found
