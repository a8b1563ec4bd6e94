"""Labels of the data beside the classes of predictions: one spelling for both, and what has no match."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from mer_core.data.vocabulary import canonical, class_order, normalise_labels, quoted
from mer_core.errors import DataError
from mer_core.types import Prediction

NAMED = 5
"""At most this many labels are named."""


def spelling(labels: set[str], classes: Sequence[str]) -> Mapping[str, str]:
    """How the data spell each predicted label: as it is, or by its synonym in the vocabulary."""
    mapping, _ = normalise_labels(sorted(labels))
    return {label: label if label in classes else mapping.get(label, label) for label in labels}


def match_labels(labels: Sequence[str], found: Iterable[Prediction], classes: Sequence[str]) -> tuple[str, ...]:
    """A note on the labels that are no class of the predictions, if there are any.

    Args:
        labels: those of the scored clips.
        classes: all labels of the data.

    Raises:
        DataError: none of the labels is a class of the predictions; with the flags that map them.
    """
    predicted = list(found)
    told = spelling({name for one in predicted for name in one.probabilities}, classes)
    known = told or spelling({one.label for one in predicted if one.label}, classes)
    theirs = class_order(known.values())
    if not theirs:  # values alone are predicted
        return ()
    strange = Counter(label for label in labels if label not in theirs)
    if strange and strange.total() == len(labels):
        what = f"no label of the data ({_some(strange)}) is a class of these predictions ({_some(theirs)})."
        raise DataError(what, f"Map the labels: {flags(strange, theirs)}; or name their column: --column label=NAME.")
    if not strange or not told:  # without probabilities, a class that is never predicted is not known
        return ()
    those = f"{strange.total()} of {len(labels)} labels are no class of these predictions ({_some(strange)})"
    return (f"{those}: they count as wrong. Map them: {flags(strange, theirs)}",)


def flags(labels: Iterable[str], classes: Sequence[str]) -> str:
    """``--label`` for the first few: the class that the vocabulary spells alike, else a place to fill in."""
    alike = {canonical(name): name for name in reversed(classes) if canonical(name)}
    targets = {label: alike.get(canonical(label), "CLASS") for label in list(labels)[:NAMED]}
    return " ".join(f"--label {quoted(f'{label}={target}')}" for label, target in targets.items())


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
