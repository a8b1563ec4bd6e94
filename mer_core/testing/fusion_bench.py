"""What the checks of a fusion stand on: modules built over made-up streams, and batches for them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mer_core.feature_set import FusionOutput, Head, Level, StreamInfo, TargetSpec
from mer_core.spec import FusionSpec
from mer_core.testing.kit import CheckFailed, require
from mer_core.testing.subject import Subject
from mer_core.testing.words import ended, said

DIMS: Mapping[str, int] = {"speech:a": 5, "text:b": 7, "video:c": 3}
TWINS: Mapping[str, int] = {"speech:a": 5, "speech:b": 4, "text:c": 3}
"""Two streams of one modality."""
TARGETS = TargetSpec(("neutral", "angry", "happy", "sad", "worried", "surprise"))
FRAMES = (4, 6, 3)
"""Frames per stream, where streams have frames: other extractors have other frame rates."""
LEVELS: tuple[Level, ...] = ("clip", "frame")

Rows = slice | list[int]


@dataclass(frozen=True)
class Batch:
    """``x`` maps streams to [B, D] or [B, T, D], ``mask`` to bool [B] or [B, T]."""

    x: dict[str, Tensor]
    mask: dict[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.mask.values())))

    def rows(self, rows: Rows) -> Batch:
        """Only some of the clips."""
        return Batch(
            {n: v[rows].clone() for n, v in self.x.items()}, {n: v[rows].clone() for n, v in self.mask.items()}
        )

    def to(self, dtype: torch.dtype) -> Batch:
        """Values as ``dtype``."""
        return replace(self, x={name: value.to(dtype) for name, value in self.x.items()})

    def without(self, name: str, rows: Rows = slice(None)) -> Batch:
        """The stream ``name`` absent in the clips ``rows``."""
        mask = self.mask[name].clone()
        mask[rows] = False
        return replace(self, mask={**self.mask, name: mask})

    def behind(self, value: float) -> Batch:
        """``value`` wherever a presence bit is cleared."""
        filled = {n: torch.where(self.mask[n].unsqueeze(-1), v, torch.full_like(v, value)) for n, v in self.x.items()}
        return replace(self, x=filled)

    def patterns(self) -> Batch:
        """Every pattern of absent streams, nobody present (the first clip) included."""
        return self._pattern(range(len(self)))

    def mixed(self) -> Batch:
        """Every pattern in which somebody is present."""
        return self._pattern([row % (2 ** len(self.x) - 1) + 1 for row in range(len(self))])

    def _pattern(self, bits: Sequence[int]) -> Batch:
        made = self
        for place, name in enumerate(self.x):
            made = made.without(name, [row for row, own in enumerate(bits) if not own >> place & 1])
        return made

    def padded(self, frames: int, names: Collection[str]) -> Batch:
        """``frames`` more frames at the end of every clip in the streams ``names``, all absent."""
        x, mask = dict(self.x), dict(self.mask)
        for name in names:
            more = x[name].new_zeros(len(self), frames, x[name].shape[-1])
            x[name] = torch.cat([x[name], more], 1)
            mask[name] = torch.cat([mask[name], mask[name].new_zeros(len(self), frames)], 1)
        return Batch(x, mask)


class FusionBench:
    """Builds the subject's modules over streams of ``level``."""

    def __init__(self, subject: Subject, level: Level) -> None:
        self.subject, self.level = subject, level
        self.spec = cast("FusionSpec", subject.spec)

    def build(
        self,
        dims: Mapping[str, int] = DIMS,
        *,
        seed: int = 0,
        levels: Mapping[str, Level] | None = None,
        targets: TargetSpec = TARGETS,
    ) -> nn.Module:
        """A module as a trainer gets it, float32 and in training mode."""
        streams = {
            name: StreamInfo(name, name.partition(":")[0], dim, (levels or {}).get(name, self.level))
            for name, dim in dims.items()
        }
        with seeded(seed):
            built = self.plugin.build(streams, targets)
        require(isinstance(built, nn.Module), f"build returned {type(built).__name__}, not a torch.nn.Module.")
        return cast("nn.Module", built.to(self.subject.device).train())

    def stirred(
        self,
        dims: Mapping[str, int] = DIMS,
        *,
        seed: int = 0,
        levels: Mapping[str, Level] | None = None,
        targets: TargetSpec = TARGETS,
    ) -> nn.Module:
        """A module in evaluation mode and in :attr:`dtype`, its weights moved a little.

        So a layer that starts at zero (a gate, a last layer) hides nothing.
        """
        module = self.build(dims, seed=seed, levels=levels, targets=targets).to(self.dtype).eval()
        with seeded(seed + 1), torch.no_grad():
            for parameter in module.parameters():
                if parameter.is_floating_point():
                    parameter.add_(0.05 * torch.randn(parameter.shape).to(parameter))
        return module

    @cached_property
    def plugin(self) -> Any:
        """The plugin itself: one, as a trainer builds all its members with the same."""
        return self.subject.plugin_class(self.subject.options)

    @cached_property
    def dtype(self) -> torch.dtype:
        """Double precision, unless the module insists on single."""
        try:
            ask(self.build().double().eval(), self.batch().to(torch.float64))
        except Exception:
            return torch.float32
        return torch.float64

    @property
    def tolerance(self) -> float:
        """Largest difference that rounding explains, as a share of the largest number."""
        return 1e-9 if self.dtype == torch.float64 else 1e-4

    def batch(
        self, size: int = 8, dims: Mapping[str, int] = DIMS, *, levels: Mapping[str, Level] | None = None
    ) -> Batch:
        """``size`` clips with everything present, in float32; where streams have frames, most clips are shorter."""
        drawer = torch.Generator().manual_seed(1)
        x, mask = {}, {}
        for place, (name, dim) in enumerate(dims.items()):
            framed = (levels or {}).get(name, self.level) == "frame"
            shape = (size, FRAMES[place % len(FRAMES)]) if framed else (size,)
            x[name] = torch.randn(*shape, dim, generator=drawer).to(self.subject.device)
            mask[name] = torch.ones(shape, dtype=torch.bool, device=self.subject.device)
            if framed:
                mask[name][1::2, -1:] = False
        return Batch(x, mask)

    def ready(self, size: int = 8, dims: Mapping[str, int] = DIMS) -> Batch:
        """:meth:`batch` in :attr:`dtype`."""
        return self.batch(size, dims).to(self.dtype)

    def same(self, one: Tensor, two: Tensor) -> bool:
        """Equal but for rounding; NaN equals nothing."""
        if one.shape != two.shape:
            return False
        scale = max(1.0, float(two.detach().abs().max())) if two.numel() else 1.0
        return bool(((one - two).abs() <= self.tolerance * scale).all())


def benches_of(subject: Subject) -> list[FusionBench]:
    """A bench for each level that the spec of ``subject`` lists, clip first; made once."""
    listed = cast("FusionSpec", subject.spec).levels
    levels = [level for level in LEVELS if level in listed] or ["clip"]
    benches: list[FusionBench] = vars(subject).setdefault(
        "fusion_benches", [FusionBench(subject, level) for level in levels]
    )
    return benches


def bench_of(subject: Subject) -> FusionBench:
    """The bench of ``subject`` for vectors, where the fusion reads them, else for frames."""
    return benches_of(subject)[0]


def at_each_level(look: Callable[[FusionBench], None]) -> Callable[[Subject], None]:
    """A check that looks at a fusion over vectors, and over frames, as far as its spec lists them."""

    @wraps(look)
    def all_of(subject: Subject) -> None:
        benches = benches_of(subject)
        for number, bench in enumerate(benches):
            try:
                look(bench)
            except CheckFailed as error:
                raise type(error)(f"with streams of frames: {error}") if number else error from error

    return all_of


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's random numbers from ``seed`` within the block, untouched outside."""
    with torch.random.fork_rng():
        if torch.cuda.is_available():
            torch.manual_seed(seed)
        else:  # where there is none, the above would note down the call stack for each kind of GPU
            torch.default_generator.manual_seed(seed)
        yield


def ask(module: nn.Module, batch: Batch, targets: TargetSpec = TARGETS) -> FusionOutput:
    """One forward pass, checked for everything that a batch's output must be.

    Raises:
        CheckFailed: it is not a FusionOutput of finite tensors of the right shapes.
    """
    out = module(dict(batch.x), dict(batch.mask))
    if not isinstance(out, FusionOutput):
        raise CheckFailed(f"forward returned {type(out).__name__}, not a mer_core.plugin.FusionOutput.")
    for name, wanted in (("logits", len(targets.classes)), ("values", len(targets.values))):
        _check_part(name, getattr(out, name), (len(batch), wanted))
    require(
        isinstance(out.losses, dict), f"losses is {type(out.losses).__name__}: give a dict, empty if there are none."
    )
    for name, loss in out.losses.items():
        _check_part(f"losses[{name!r}]", loss, ())
    _check_heads(out, len(batch))
    return out


def _check_heads(out: FusionOutput, clips: int) -> None:
    require(isinstance(out.heads, Mapping), f"heads is {type(out.heads).__name__}: give a dict of Head by name.")
    for name, head in out.heads.items():
        if not isinstance(head, Head):
            raise CheckFailed(f"heads[{name!r}] is {type(head).__name__}, not a mer_core.plugin.Head.")
        shapes = (out.logits.shape, out.values.shape, (clips,))
        for part, found, shape in zip(Head._fields, head, shapes, strict=True):
            _check_part(f"heads[{name!r}].{part}", found, tuple(shape))
        require(bool((head.weights >= 0).all()), f"heads[{name!r}].weights are below 0.")


def _check_part(name: str, part: object, shape: tuple[int, ...]) -> None:
    if not isinstance(part, Tensor):
        raise CheckFailed(f"{name} is {type(part).__name__}, not a tensor: no field of FusionOutput may be None.")
    found = tuple(part.shape)
    require(found == shape, f"{name} has shape {list(found)}, not {list(shape)}.")
    require(bool(part.isfinite().all()), f"{name} holds NaN or infinity.")


def loss_of(module: nn.Module, batch: Batch) -> Tensor:
    """What a trainer minimises on ``batch``, see :func:`loss_from`."""
    return loss_from(ask(module, batch))


def loss_from(out: FusionOutput) -> Tensor:
    """What a trainer minimises: cross entropy on made-up labels, plus squares of values, plus auxiliary losses.

    That of each head is added, its clips multiplied by their weights.
    """
    main = Head(out.logits, out.values, out.logits.new_ones(len(out.logits)))
    return torch.stack([*map(_head_loss, (main, *out.heads.values())), *out.losses.values()]).sum()


def _head_loss(head: Head) -> Tensor:
    labels = torch.arange(len(head.logits), device=head.logits.device) % len(TARGETS.classes)
    each = cross_entropy(head.logits, labels, reduction="none") + head.values.square().sum(1)
    return (each * head.weights).mean()


@contextmanager
def attempt(subject: Subject, what: str, remedy: str) -> Iterator[None]:
    """Whatever goes wrong within the block fails the check, saying what was tried and what to do."""
    target = subject.spec.target
    try:
        yield
    except CheckFailed as error:
        raise CheckFailed(f"{what}: {error} {remedy}") from error
    except (Exception, SystemExit) as error:
        raise CheckFailed(f"{what} raised {ended(said(error, target))} {remedy}") from error


def gradients(module: nn.Module, loss: Callable[[], Tensor]) -> dict[str, Tensor | None]:
    """The gradient of ``loss`` for every parameter that wants one; None where it does not arrive."""
    module.zero_grad(set_to_none=True)
    loss().backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in module.named_parameters() if p.requires_grad}
