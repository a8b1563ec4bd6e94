"""The part of a report that tells of self-training."""

from __future__ import annotations

from pydantic import Field

from mer_core.report.parts import Number, Part, Score


class Round(Part):
    """One round of self-training; round 0 learns from the given labels alone. Numbers are means over folds.

    ``learnt`` counts pseudo-labels learnt from, by class; ``added`` those given at the end of the round, ``given`` the
    same by class. ``confidence`` is the mean probability of these, ``entropy`` (nats) that of all unlabelled clips,
    ``agreement`` the share of those still without a label on which the modalities agree. ``audit`` compares new labels
    with those that the data hold back.
    """

    round: int
    waf: Score
    learnt: dict[str, Number] = Field(default_factory=dict)
    added: Number = None
    given: dict[str, Number] = Field(default_factory=dict)
    confidence: Number = None
    entropy: Number = None
    agreement: Number = None
    audit: Number = None


class SelfTraining(Part):
    """What learning from unlabelled clips did; ``gain`` is the kept round's WAF beside round 0's (paired)."""

    method: str
    source: str
    """Whose predictions became labels: ``fold`` or ``ensemble``."""
    pool: int
    """Unlabelled clips."""
    kept: int
    stopped: str
    rounds: tuple[Round, ...] = ()
    gain: Score | None = None
