"""What the trainer ``cv`` refuses before it trains: options that do not go together, or with a run. Light: no torch."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mer_core.plugin import DataError, OptionError, StreamInfo, TargetSpec
from mer_plugins.trainers.rates import rates_of

if TYPE_CHECKING:
    from mer_plugins.trainers.options import CvOptions

CONSISTENT = ("flexmatch", "dash")
"""Methods of self-training that look at unlabelled clips in every step, in place of rounds."""


def refuse_combination(options: CvOptions) -> None:
    """Refuse options that do not go together, whatever the data.

    Raises:
        OptionError: naming them.
    """
    if options.patience and options.select == "last":
        what = "cv.patience waits for a better score on an inner part of the training clips."
        raise OptionError(what, "Add --select inner, or leave it out.")
    if options.self_training in CONSISTENT:
        _refuse_rounds(options)
    elif options.self_training != "off":
        _refuse_blind(options)
    rates = options.modality_dropout
    if options.modality_dropout_policy == "drop_one" and isinstance(rates, dict) and sum(rates.values()) > 1:
        what = f"cv: under drop_one the rates of modality_dropout add up to 1 at most, not {sum(rates.values()):g}."
        raise OptionError(what, "Each is the chance that this one goes and no other.")


def refuse_targets(options: CvOptions, targets: TargetSpec) -> None:
    """Refuse what cannot be learnt, and options that ask for classes that there are not.

    Raises:
        DataError: there is one class, and no value.
        OptionError: naming the option.
    """
    classes = targets.classes
    if len(classes) < 2 and not targets.values:
        raise DataError("there are neither two classes to learn nor continuous values.", "Give labels, or values.")
    asked = {"self_training": options.self_training != "off", "calibrate": options.calibrate}
    asked["gradient_modulation"] = options.gradient_modulation != "off"
    if not classes and any(asked.values()):
        name = next(key for key, wanted in asked.items() if wanted)
        raise OptionError(f"cv.{name} needs classes, and there are only values.", f"Leave out cv.{name}.")
    if classes and isinstance(options.class_weights, Mapping):
        refuse_weights(options.class_weights, classes)
    if options.self_training == "per-class-threshold":
        refuse_thresholds(options.pseudo_thresholds, classes)


def refuse_weights(given: Iterable[str], classes: Sequence[str]) -> None:
    """Refuse a weight of a class that there is not.

    Raises:
        OptionError: naming it.
    """
    unknown = sorted(set(given) - set(classes))
    if unknown:
        said = f"Classes are {', '.join(classes)}."
        raise OptionError(f"cv.class_weights: no class {unknown[0]!r}.", _meant(unknown[0], classes, said))


def refuse_thresholds(given: Iterable[str], classes: Sequence[str]) -> None:
    """Refuse a bound of a class that there is not, and a class without a bound; ``*`` is all others.

    Raises:
        OptionError: naming it.
    """
    unknown = sorted(set(given) - {*classes, "*"})
    if unknown:
        said = f"Classes are {', '.join(classes)}; * is all others."
        raise OptionError(f"cv.pseudo_thresholds: no class {unknown[0]!r}.", _meant(unknown[0], classes, said))
    absent = [name for name in classes if name not in given and "*" not in given]
    if absent:
        raise OptionError(f"cv.pseudo_thresholds: no bound for {absent[0]!r}.", "Give one, or one for '*'.")


def refuse_strange_rates(options: CvOptions, streams: Mapping[str, StreamInfo]) -> None:
    """Refuse a rate of modality dropout for what is none of a run's ``streams`` and modalities.

    Raises:
        OptionError: naming it.
    """
    units = dropout_units(streams, alone=options.modality_dropout_by == "stream")
    _, foreign = rates_of(options.modality_dropout, units)
    if foreign:
        known = list(dict.fromkeys([*units.values(), *units]))
        what = f"cv.modality_dropout: there is no {foreign[0]!r} in this run."
        raise OptionError(what, f"It has {', '.join(known)}.")


def dropout_units(streams: Mapping[str, StreamInfo], *, alone: bool) -> dict[str, str]:
    """What modality dropout takes away, streams (``alone``) or modalities, each with its modality."""
    return {name if alone else info.modality: info.modality for name, info in streams.items()}


def _meant(name: str, known: Sequence[str], otherwise: str) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"Did you mean {close[0]!r}? {otherwise}" if close else otherwise


def _refuse_rounds(options: CvOptions) -> None:
    """Refuse what only rounds have, where there are none."""
    asked = {
        "pseudo_from=ensemble": options.pseudo_from == "ensemble",
        "pseudo_patience": options.pseudo_patience is not None,
        "pseudo_final=best": options.pseudo_final == "best",
        "pseudo_relabel": options.pseudo_relabel,
        "pseudo_warm_start": options.pseudo_warm_start,
    }
    idle = [name for name, given in asked.items() if given]
    if idle:
        cure = "Add --pseudo-from fold" if "from" in idle[0] else "Leave it out"
        raise OptionError(
            f"cv.{idle[0]} is about rounds of labels, and {options.self_training} has none.",
            f"{cure}, or use --self-training class-balanced.",
        )


def _refuse_blind(options: CvOptions) -> None:
    if options.select == "last" and (options.pseudo_patience or options.pseudo_final == "best"):
        raise OptionError(
            "cv.pseudo_patience and cv.pseudo_final=best look at an inner part of the training clips.",
            "Add --select inner, or leave them out.",
        )
