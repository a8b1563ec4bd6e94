"""What a deriver has to keep to, as named checks. Missing is an honest answer to a synthetic clip."""

from __future__ import annotations

from mer_core.testing import answering
from mer_core.testing.answering import LONG, SHORT, SILENT, require_sequence
from mer_core.testing.bench import MIXED, ORDINARY, bench
from mer_core.testing.common import light_import, options
from mer_core.testing.compare import described
from mer_core.testing.inputs import NoInput
from mer_core.testing.kit import Check, CheckFailed, check, require
from mer_core.testing.subject import Subject
from mer_core.types import Derived


@check(cure="take `(options, device)`; return `Derived(arrays, info)` or `Missing(reason)`")
def starts(subject: Subject) -> None:
    """It can be made, and answers an ordinary clip of three seconds."""
    at = bench(subject)
    at.require_inputs()
    wrong = at.acceptable(at.alone(ORDINARY))
    require(not wrong, f"{ORDINARY}: {wrong}. Return Derived(arrays, info), or Missing(reason).")
    require_sequence(at)


@check(needs=("starts",), cure="plain numpy arrays and plain facts")
def storable(subject: Subject) -> None:
    """What it makes can be stored: arrays of numbers, facts that JSON can hold."""
    from mer_core.engine.answers import wrong_derived

    at = bench(subject)
    for scene in (ORDINARY, *MIXED, *SILENT, *SHORT, LONG):
        try:
            answer = at.alone(scene)
        except (CheckFailed, NoInput):
            continue  # another check tells of it
        wrong = wrong_derived(answer) if isinstance(answer, Derived) else ""
        require(
            not wrong,
            f"{scene}: {wrong} (it is {described(answer)}). Put numbers into Derived.arrays and what JSON can hold "
            "into Derived.info.",
        )


CHECKS: tuple[Check, ...] = (
    light_import,
    options,
    starts,
    answering.order,
    answering.batch_invariance,
    answering.silence,
    answering.short,
    answering.long,
    answering.determinism,
    answering.inputs_unchanged,
    storable,
    answering.threads,
    answering.spawned,
    answering.offline,
)
