"""The checks of a fusion: absence, gradients, batches, names, and what a trainer does with modules."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from mer_core.feature_set import Level, TargetSpec
from mer_core.testing.common import light_import, options
from mer_core.testing.fusion_bench import (
    DIMS,
    TARGETS,
    TWINS,
    Batch,
    FusionBench,
    ask,
    at_each_level,
    attempt,
    bench_of,
    gradients,
    loss_from,
    loss_of,
    seeded,
)
from mer_core.testing.fusion_stacked import stacked
from mer_core.testing.kit import Check, NotApplicable, check, require
from mer_core.testing.subject import Subject

JUNK = (float("nan"), float("inf"), 1e9)
VALUED = TargetSpec(TARGETS.classes, ("valence", "arousal"))
NAMES = ("speech:my.encoder-v1.5", "text:文本", "video:a b/c")

_Learnt = tuple[Tensor, dict[str, Tensor | None]]


@check(
    cure="take `(options)`; create every layer inside `build`, under keys that are no stream names (`nn.ModuleList`); "
    "random layers obey `self.training`"
)
@at_each_level
def starts(bench: FusionBench) -> None:
    """It builds modules that share nothing and answer a batch with a whole FusionOutput, always the same."""
    module, other, batch = bench.build(), bench.build(), bench.batch()
    require(
        not _storage(module) & _storage(other),
        "two modules that were built one after the other share tensors: folds would train each other's weights. "
        "Create every layer inside build.",
    )
    before = batch.rows(slice(None))
    ask(module, batch)
    with torch.no_grad():
        first, again = ask(module.eval(), batch), ask(module, batch)
    require(_unchanged(batch, before), "forward changed x or mask in place: work on copies (torch.where makes one).")
    require(
        torch.equal(first.logits, again.logits),
        "in evaluation mode the same batch gives other logits the second time: use nn.Dropout, or pass "
        "training=self.training to the functional form.",
    )


@check(needs=("starts",), cure="look up `x[name]` by the names that `build` received")
@at_each_level
def stream_order(bench: FusionBench) -> None:
    """The order of streams in the dicts x and mask does not matter."""
    module, batch = bench.stirred(), bench.ready().mixed()
    x, mask = dict(reversed(batch.x.items())), dict(reversed(batch.mask.items()))
    expected = ask(module, batch)
    remedy = "Go through the names given to build and look x[name] and mask[name] up; never rely on their order."
    for turned in (Batch(x, batch.mask), Batch(batch.x, mask), Batch(x, mask)):
        with attempt(bench.subject, "forward with the streams in another order", remedy):
            found = ask(module, turned)
            require(bench.same(found.logits, expected.logits), "other logits.")


@check(needs=("starts",), cure="number the parts (`nn.ModuleList`)")
@at_each_level
def keys(bench: FusionBench) -> None:
    """Names in the module's state do not come from names of streams."""
    expected = set(bench.build().state_dict())
    remedy = "Number the parts in the order of streams (nn.ModuleList), so that any name is possible."
    with attempt(bench.subject, f"building over streams called {', '.join(NAMES)}", remedy):
        found = set(bench.build(dict(zip(NAMES, DIMS.values(), strict=True))).state_dict())
        strange = sorted(found ^ expected)
        require(not strange, f"keys change with the names, e.g. {', '.join(strange[:2])}.")


@check(needs=("starts",), cure="read `mask`; guard every division")
@at_each_level
def absence(bench: FusionBench) -> None:
    """Any streams may be absent, even all, and absence has an effect."""
    module, batch = bench.stirred(), bench.ready()
    for mode in (False, True):
        with attempt(
            bench.subject,
            "forward with every pattern of absent streams",
            "Nobody may be present: guard every division.",
        ):
            ask(module.train(mode), batch.patterns())
    everything = ask(module.eval(), batch).logits
    for name in DIMS:
        without = ask(module, batch.without(name)).logits
        require(
            not bench.same(without, everything),
            f"taking {name} away from every clip changes no logit: read the mask (clear_input and clear_hidden of "
            "mer_core.plugin give it its effect).",
        )


@check(needs=("absence",), cure="`clear_input` before anything else")
@at_each_level
def cleared_values(bench: FusionBench) -> None:
    """Values behind cleared bits, NaN included, change no output and no gradient."""
    module, batch = bench.stirred(), bench.ready().mixed()
    remedy = "Clear x with clear_input before anything else sees it."
    for mode in (False, True):
        clean = _learnt(module.train(mode), batch.behind(0.0))
        for junk in JUNK:
            with attempt(bench.subject, f"{junk} behind cleared presence bits", remedy):
                _compare_cleared(bench, clean, _learnt(module, batch.behind(junk)))


def _compare_cleared(bench: FusionBench, clean: _Learnt, dirty: _Learnt) -> None:
    (expected, wanted), (found, got) = clean, dirty
    require(bench.same(found, expected), "other logits than with zeros there.")
    differing = [name for name in wanted if not _same_gradient(bench, got[name], wanted[name])]
    require(not differing, f"the gradient of {', '.join(differing[:2])} differs from the one with zeros there.")


def _learnt(module: nn.Module, batch: Batch) -> _Learnt:
    """Logits and gradients of a copy of ``module``, which may keep what it sees."""
    module = copy.deepcopy(module)
    with seeded(0):
        out = ask(module, batch)
    return out.logits.detach(), gradients(module, lambda: loss_from(out))


def _same_gradient(bench: FusionBench, one: Tensor | None, two: Tensor | None) -> bool:
    if one is None or two is None:
        return one is two
    return bench.same(one, two)


@check(needs=("starts",), cure="look for `detach`, `argmax`, a dict by modality in which one stream replaces another")
@at_each_level
def gradients_(bench: FusionBench) -> None:
    """In training, gradients reach every stream and every parameter that wants one."""
    for dims in (DIMS, TWINS):
        _reaches_streams(bench, dims)
    _reaches_parameters(bench)


def _reaches_streams(bench: FusionBench, dims: Mapping[str, int]) -> None:
    module, reached = bench.stirred(dims).train(), set[str]()
    for seed in range(3):
        batch = bench.ready(16, dims)
        for value in batch.x.values():
            value.requires_grad_()
        with seeded(seed):
            loss_of(module, batch).backward()  # type: ignore[no-untyped-call]
        reached |= {name for name, x in batch.x.items() if x.grad is not None and bool(x.grad.any())}
    missing = [name for name in dims if name not in reached]
    require(
        not missing,
        f"of the streams {', '.join(dims)}, no gradient reaches {', '.join(missing)}: nothing would be learnt from "
        "it. Look for detach, argmax, no_grad, or a dict by modality in which one stream replaces another.",
    )


def _reaches_parameters(bench: FusionBench) -> None:
    module = bench.stirred().train()
    names = {name for name, p in module.named_parameters() if p.requires_grad and p.numel()}
    for batch in (bench.ready(16), bench.ready(16).mixed()):
        with seeded(0):
            found = gradients(module, lambda batch=batch: loss_of(module, batch))  # type: ignore[misc]
        names -= {name for name, gradient in found.items() if gradient is not None}
    require(
        not names,
        f"the loss does not depend on {', '.join(sorted(names)[:3])}: use it, remove it, or requires_grad_(False).",
    )


@check(needs=("starts",), cure="as many columns of `values` as `targets.values` has names, from layers that learn")
@at_each_level
def values_(bench: FusionBench) -> None:
    """Continuous targets are answered beside classes, by parameters that learn from them."""
    module, batch = bench.stirred(targets=VALUED), bench.ready()
    found = ask(module, batch, VALUED).values
    learnt = found.requires_grad and any(
        gradient is not None and bool(gradient.any())
        for gradient in gradients(module, lambda: (found - 1).square().sum()).values()
    )
    require(learnt, "no parameter learns from the continuous values: compute them as logits are.")


@check(needs=("starts",), cure="no batch statistics; take care with `squeeze`")
@at_each_level
def batch_of_one(bench: FusionBench) -> None:
    """A batch may hold a single clip, in training too."""
    module, batch = bench.stirred(), bench.ready(1)
    for mode, word in ((False, "evaluation"), (True, "training")):
        with attempt(bench.subject, f"a batch of one clip in {word} mode", "Folds and last batches may be that small."):
            loss_of(module.train(mode), batch).backward()  # type: ignore[no-untyped-call]


@check(needs=("starts",), cure="`batch_first=True`; no normalisation over the batch")
@at_each_level
def batch_invariance(bench: FusionBench) -> None:
    """In evaluation, a clip's output does not depend on the clips beside it."""
    module, batch = bench.stirred(), bench.ready().mixed()
    expected = ask(module, batch).logits
    for rows in ([0, 1], [6, 7], [2, 5, 3], list(range(7, -1, -1))):
        found = ask(module, batch.rows(rows)).logits
        require(
            bench.same(found, expected[rows]),
            f"clips {rows} of a batch get other logits in a batch of their own. Look for a normalisation over the "
            "batch, or for attention whose first axis is not the batch (batch_first=True).",
        )


@check(needs=("starts",), cure="nothing may need a pair")
@at_each_level
def one_stream(bench: FusionBench) -> None:
    """It works over a single stream."""
    for name, dim in DIMS.items():
        dims = {name: dim}
        remedy = "Runs with one modality and ablations need it; look for squeeze and for pairs of streams."
        with attempt(bench.subject, f"a fusion of {name} alone", remedy):
            ask(bench.stirred(dims), bench.ready(8, dims))


@check(needs=("absence",), cure="divide by the number of present frames; let attention see present ones only")
def frames(subject: Subject) -> None:
    """Frame level: absent frames at the end of clips change nothing."""
    bench = bench_of(subject)
    if "frame" not in bench.spec.levels:
        raise NotApplicable("the fusion reads one vector per clip")
    mixed: dict[str, Level] = {"speech:a": "frame", "text:b": "clip", "video:c": "frame"}
    framed: dict[str, Level] = dict.fromkeys(DIMS, "frame")
    for levels in (framed, mixed) if "clip" in bench.spec.levels else (framed,):
        _pad_frames(bench, levels)


def _pad_frames(bench: FusionBench, levels: Mapping[str, Level]) -> None:
    module, batch = bench.stirred(levels=levels), bench.batch(levels=levels).to(bench.dtype)
    padded = batch.padded(5, [name for name, level in levels.items() if level == "frame"])
    remedy = "Divide by the number of present frames, and let attention and convolutions see present frames only."
    with attempt(bench.subject, "five absent frames at the end of every clip", remedy):
        expected, found = ask(module, batch).logits, ask(module, padded).logits
        require(bench.same(found, expected), "the logits change.")


@check(needs=("starts",), cure="register parameters and persistent buffers")
@at_each_level
def save_load(bench: FusionBench) -> None:
    """A state dict, through safetensors into a module built under another seed, gives the same outputs."""
    module, batch = bench.stirred(), bench.ready().mixed()
    with torch.no_grad():
        ask(module.train(), batch)
    fresh = bench.build(seed=99).to(bench.dtype).eval()
    remedy = "Register what a module needs as parameters or persistent buffers."
    with attempt(bench.subject, "saving the state dict and loading it into a fresh module", remedy):
        tensors = {key: value.detach().cpu().contiguous().clone() for key, value in module.state_dict().items()}
        fresh.load_state_dict(load(save(tensors)))
        require(bench.same(ask(fresh, batch).logits, ask(module.eval(), batch).logits), "other logits than before.")


def _storage(module: nn.Module) -> set[int]:
    tensors = [*module.parameters(), *module.buffers()]
    return {tensor.untyped_storage().data_ptr() for tensor in tensors if tensor.numel()}


def _unchanged(batch: Batch, before: Batch) -> bool:
    pairs = [(batch.x, before.x), (batch.mask, before.mask)]
    return all(one.keys() == two.keys() and all(torch.equal(one[n], two[n]) for n in two) for one, two in pairs)


CHECKS: tuple[Check, ...] = (
    light_import,
    options,
    starts,
    stream_order,
    keys,
    absence,
    cleared_values,
    gradients_,
    values_,
    batch_of_one,
    batch_invariance,
    one_stream,
    frames,
    save_load,
    stacked,
)
