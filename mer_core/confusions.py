"""Scores of class predictions from confusion matrices: weighted F1 (WAF), UAR, accuracy, macro F1.

Labels are integers 0..C-1. Predictions are [N], or [S, N] where S trainings from different seeds predicted the same
clips: scores are then means over the seeds, which are no further samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mer_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

METRICS = ("waf", "uar", "accuracy", "macro_f1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of N predictions; arrays are [C] in class order, ``confusion`` is [C, C].

    A class without support has recall 0, one that was never predicted has precision 0 (as
    scikit-learn's ``zero_division=0``); ``support`` and ``predicted`` tell these cases apart. Of
    several seeds all are means: ``predicted`` and ``confusion`` are then fractional.
    """

    n: int
    waf: float
    uar: float
    accuracy: float
    macro_f1: float
    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    support: IntArray
    predicted: IntArray | FloatArray
    confusion: IntArray | FloatArray


def confusion(y: ArrayLike, pred: ArrayLike, n_classes: int) -> IntArray:
    """Confusion matrix [C, C]: rows are true classes, columns predicted ones.

    Raises:
        DataError: if lengths differ or a class index is outside 0..C-1.
    """
    truth, guess = checked(y, pred, n_classes)
    cells = np.bincount(truth * n_classes + guess, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def checked(y: ArrayLike, pred: ArrayLike, n_classes: int) -> tuple[IntArray, IntArray]:
    """Labels and predictions as arrays [N].

    Raises:
        DataError: if lengths differ or a class index is outside 0..C-1.
    """
    truth, guess = np.asarray(y, dtype=np.int64).ravel(), np.asarray(pred, dtype=np.int64).ravel()
    if len(truth) != len(guess):
        raise DataError(f"{len(truth)} labels but {len(guess)} predictions.", "Give one prediction per label.")
    for name, values in (("label", truth), ("prediction", guess)):
        if len(values) and not (values.min() >= 0 and values.max() < n_classes):
            raise DataError(f"A {name} is outside the {n_classes} classes.", "Leave unlabelled clips out.")
    return truth, guess


def _ratio(top: Any, bottom: Any, empty: float = 0.0) -> Any:
    bottom = np.asarray(bottom, dtype=np.float64)
    return np.where(bottom > 0, top / np.where(bottom > 0, bottom, 1.0), empty)


def rates(table: NDArray[Any]) -> dict[str, Any]:
    """The four metrics of confusion matrices [..., C, C], as arrays [...] by name.

    WAF is the mean of F1_c = 2TP/(2TP+FP+FN) weighted by true support. UAR is the mean recall of the
    classes that occur. Macro F1 averages over the classes that occur or are predicted. These are
    scikit-learn's ``f1_score(average="weighted")``, ``balanced_accuracy_score`` and
    ``f1_score(average="macro")``. NaN for a matrix without clips.
    """
    hits = np.diagonal(table, axis1=-2, axis2=-1).astype(np.float64)
    support, predicted = table.sum(axis=-1), table.sum(axis=-2)
    total, nan = support.sum(axis=-1), float("nan")
    f1, recall = _ratio(2 * hits, support + predicted), _ratio(hits, support)
    return {
        "waf": _ratio((f1 * support).sum(axis=-1), total, nan),
        "uar": _ratio(recall.sum(axis=-1), (support > 0).sum(axis=-1), nan),
        "accuracy": _ratio(hits.sum(axis=-1), total, nan),
        "macro_f1": _ratio(f1.sum(axis=-1), (support + predicted > 0).sum(axis=-1), nan),
    }


def mean_rates(tables: Sequence[NDArray[Any]]) -> dict[str, Any]:
    """:func:`rates` of each of S confusion matrices [..., C, C], averaged over them."""
    found = [rates(table) for table in tables]
    return {name: np.mean([one[name] for one in found], axis=0) for name in METRICS} if len(found) > 1 else found[0]


def of_seeds(pred: ArrayLike) -> list[IntArray]:
    """Predictions [N] or [S, N] as S arrays [N]."""
    return list(np.atleast_2d(np.asarray(pred, dtype=np.int64)))


def weighted_f1(y: ArrayLike, pred: ArrayLike, n_classes: int) -> float:
    """WAF of N predictions (the measure of MER2024)."""
    return float(rates(confusion(y, pred, n_classes))["waf"])


def scores(y: ArrayLike, pred: ArrayLike, n_classes: int) -> Scores:
    """All scores of N predictions, per class too; of predictions [S, N] their means."""
    found = [_scores(confusion(y, one, n_classes)) for one in of_seeds(pred)]
    if len(found) == 1:
        return found[0]
    varying = [name for name in Scores.__dataclass_fields__ if name not in ("n", "support")]
    means = {name: np.mean([getattr(one, name) for one in found], axis=0) for name in varying}
    changes: dict[str, Any] = {name: mean if mean.ndim else float(mean) for name, mean in means.items()}
    return replace(found[0], **changes)


def _scores(table: IntArray) -> Scores:
    hits, support, predicted = np.diagonal(table).copy(), table.sum(axis=1), table.sum(axis=0)
    return Scores(
        n=int(table.sum()),
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + predicted),
        support=support,
        predicted=predicted,
        confusion=table,
        **{name: float(value) for name, value in rates(table).items()},
    )
