"""The check of a fusion that says it is stackable: what the trainer does with the members of all folds."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from mer_core.testing.fusion_bench import Batch, FusionBench, ask, attempt, bench_of, gradients, seeded
from mer_core.testing.kit import NotApplicable, check, require
from mer_core.testing.subject import Subject

MEMBERS = 3


@check(needs=("starts",), cure="no branches on values, no changes in place, no recurrent layers; or `stackable=False`")
def stacked(subject: Subject) -> None:
    """Where declared: several members in one vmap pass equal each member alone, gradients included."""
    bench = bench_of(subject)
    if not bench.spec.stackable:
        raise NotApplicable("the spec does not declare the fusion stackable")
    modules = [bench.stirred(seed=number) for number in range(MEMBERS)]
    batches = [bench.ready().mixed().rows([(row + number) % 8 for row in range(8)]) for number in range(MEMBERS)]
    remedy = "Avoid branches on values, in-place changes and recurrent layers, or declare stackable=False."
    named = sum(1 for _ in modules[0].named_parameters(remove_duplicate=False))
    require(named == len(list(modules[0].parameters())), f"a weight has two names: it would be trained twice. {remedy}")
    _require_one_class(modules)
    with attempt(subject, "three members in one pass (torch.func.vmap)", remedy):
        _stacked_pass(modules, batches, training=True)
        with differentiable_attention():
            logits, slopes = _stacked_pass(modules, batches, training=False)
        for number, (module, batch) in enumerate(zip(modules, batches, strict=True)):
            _compare_member(bench, module.eval(), batch, logits[number], {n: g[number] for n, g in slopes.items()})


def _require_one_class(modules: list[nn.Module]) -> None:
    classes = list(dict.fromkeys(type(module) for module in modules))
    names = sorted({cls.__qualname__ for cls in classes})
    require(
        len(classes) == 1,
        f"build returns another class each time ({', '.join(names)}), and only modules of one class can be stacked: "
        "define the module class at the top of its module, not inside a function.",
    )


@contextmanager
def differentiable_attention() -> Iterator[None]:
    """In evaluation, torch's transformer layers take a shortcut without a derivative under vmap: not here."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _stacked_pass(
    modules: list[nn.Module], batches: list[Batch], *, training: bool
) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [F, B, C], and the gradients [F, ...] of the loss in :func:`_stacked_loss`."""
    params, buffers = stack_module_state(modules)
    base = copy.deepcopy(modules[0]).train(training)

    def one(own: Any, held: Any, x: dict[str, Tensor], mask: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        out = functional_call(base, (own, held), (x, mask), tie_weights=False)
        return out.logits, _stacked_loss(out)

    x = {name: torch.stack([batch.x[name] for batch in batches]) for name in batches[0].x}
    mask = {name: torch.stack([batch.mask[name] for batch in batches]) for name in batches[0].mask}
    with seeded(0):
        logits, losses = torch.vmap(one, randomness="different")(params, buffers, x, mask)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    return logits, {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in params.items()}


def _stacked_loss(out: Any) -> Tensor:
    heads = [(head.weights * head.logits.square().sum(1)).sum() for head in out.heads.values()]
    total: Tensor = out.logits.square().sum() + sum(out.losses.values()) + sum(heads)
    return total


def _compare_member(
    bench: FusionBench, module: nn.Module, batch: Batch, logits: Tensor, slopes: Mapping[str, Tensor]
) -> None:
    alone = gradients(module, lambda: _stacked_loss(ask(module, batch)))
    require(bench.same(logits, ask(module, batch).logits), "other logits than each member alone.")
    differing = [name for name, slope in alone.items() if slope is not None and not bench.same(slopes[name], slope)]
    require(not differing, f"the gradient of {', '.join(differing[:2])} is not that of each member alone.")
