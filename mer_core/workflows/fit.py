"""Train, score and keep a model over features of one's own: no media, no extractor, no run's folder."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mer_core.config import DataChoice, RunConfig
from mer_core.configure import make_config
from mer_core.data.folds import FoldPlan
from mer_core.errors import DataError, TooLittleDataError, UsageError
from mer_core.evaluation import Evaluation, SubsetScore, evaluate_predictions
from mer_core.feature_set import FeatureSet, Fold
from mer_core.owners import refuse_strangers
from mer_core.protocols import Model
from mer_core.registry import Catalogue
from mer_core.spec import FusionSpec, TrainerSpec
from mer_core.workflows.features import UNLABELLED, any_present, learnable
from mer_core.workflows.folding import given_plan, plan_training
from mer_core.workflows.pipeline import load_pipeline, save_pipeline
from mer_core.workflows.predict import complete_streams
from mer_core.workflows.scoring import NO_FOLD, OutOfFold, ensemble, groups_of, out_of_fold, score_held_out
from mer_core.workflows.train import train_rows
from mer_core.workflows.unfinished import finishing
from mer_core.workflows.value_scoring import (
    TargetScores,
    as_model_has_them,
    ensemble_values,
    score_targets,
    values_out_of_fold,
)
from mer_core.workflows.workspace import Workspace, open_workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedModel:
    """A model over composed streams: predicts, scores new clips, and saves itself."""

    model: Model
    config: RunConfig

    @property
    def classes(self) -> tuple[str, ...]:
        """The columns of :meth:`predict`."""
        return self.model.targets.classes

    def predict(self, features: FeatureSet) -> NDArray[np.float64]:
        """Probabilities [N, C] of the ensemble; NaN for a clip that has none of the model's streams.

        A stream of the model that ``features`` lacks counts as absent in every clip.

        Raises:
            DataError: a stream that the model does not know, or of another width.
        """
        _refuse_strange(features, self.model)
        found = ensemble(self.model, complete_streams(features, self.model))
        return np.where(any_present(features)[:, None], found, np.nan)

    def predict_values(self, features: FeatureSet) -> NDArray[np.float64]:
        """Continuous targets [N, V], in the order of ``model.targets.values``; NaN and errors as :meth:`predict`."""
        _refuse_strange(features, self.model)
        found = ensemble_values(self.model, complete_streams(features, self.model))
        return np.where(any_present(features)[:, None], found, np.nan)

    def labels(self, features: FeatureSet) -> list[str | None]:
        """The likeliest class of each clip, None where there is nothing to tell it from."""
        if not self.classes:
            return [None] * len(features.ids)
        return [None if np.isnan(row).any() else self.classes[int(row.argmax())] for row in self.predict(features)]

    def evaluate(self, features: FeatureSet) -> Evaluation:
        """Scores with intervals of clips that the model was not fitted to; unlabelled ones are left out.

        Of features with splits, the ``test`` clips alone are scored.

        Raises:
            DataError: no clip is labelled, or with a class that the model does not know.
        """
        probabilities = self.predict(features)
        rows = np.flatnonzero(~np.isnan(probabilities).any(axis=1) & _to_score(features))
        truth, kept = _in_order(features, self.classes)[rows], probabilities[rows]
        groups = [features.groups[row] or None for row in rows] if features.groups else None
        unit, seed = self.config.folds.group, self.config.seed
        best = kept.argmax(axis=1)
        return evaluate_predictions(truth, best, self.classes, groups, unit=unit, probabilities=kept, seed=seed)

    def evaluate_targets(self, features: FeatureSet) -> TargetScores:
        """Scores of values, and of predicted distributions beside votes, of the clips that :meth:`evaluate` scores."""
        rows = np.flatnonzero(_to_score(features))
        groups = [features.groups[row] or None for row in rows] if features.groups else None
        unit, seed = self.config.folds.group, self.config.seed
        own = as_model_has_them(features, self.model.targets)
        return score_targets(own, rows, self.predict(features), self.predict_values(features), groups, unit, seed)

    def save(self, folder: str | Path) -> None:
        """Write safetensors and JSON into ``folder``, for :func:`load_fit`."""
        save_pipeline(Path(folder), self.config, self.model, {}, Catalogue(), {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit(FittedModel):
    """A model and how good it is, over the N clips that :func:`fit` was given.

    ``plan`` are the folds, or the reason why there are none. ``held_out`` has for every clip the
    probabilities [N, C] of the fold that did not learn from it (NaN where none held it out);
    ``evaluation`` scores them (None without folds), ``subsets`` scores every subset of the modalities.
    ``held_out_values`` [N, V] and ``targets`` say the same of values and votes.
    """

    plan: FoldPlan
    held_out: OutOfFold
    evaluation: Evaluation | None
    subsets: tuple[SubsetScore, ...]
    held_out_values: NDArray[np.float64]
    targets: TargetScores


def fit(
    features: FeatureSet,
    *,
    fusion: str = "attention",
    trainer: str = "cv",
    fusion_options: Mapping[str, Any] | None = None,
    trainer_options: Mapping[str, Any] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    folds: int | str = 5,
    group: str = "speaker",
    seed: int = 0,
    seeds: int = 1,
    device: str = "auto",
    space: Workspace | None = None,
) -> Fit:
    """Cross-validate a fusion over composed features and keep the ensemble of its folds.

    Clips of the split ``test`` are left out, for :meth:`FittedModel.evaluate`; a split ``val`` is scored
    instead of folds. Clips without a label take part as far as the trainer uses them; clips without a
    stream do not.

    Args:
        features: what :func:`mer_core.compose` returned. Folds that they have already are used instead
            of planned ones: ``dataclasses.replace(features, folds=(Fold(train, val), ...))``.
        fusion: registry name; ``trainer`` too.
        fusion_options: ``{"hidden": 64}``; ``trainer_options`` likewise, ``{"epochs": 100}``.
        options: both by plugin, as a run takes them: ``{"attention": {"hidden": 64}}``; these win.
        folds: how many, or ``"loo"``: one group left out at a time. Groups stay together.
        group: what a group is, for the words of the evaluation.
        seeds: trainings over the same folds, with the seeds ``seed``, ``seed + 1`` ...: their scores are averaged, and
            the model is all of them together.
        device: ``auto``, ``cpu``, ``cuda:0`` ...

    Raises:
        TooLittleDataError: nothing can be learnt from these labels.
        OptionError, PluginError, UsageError: naming the option or plugin.
    """
    space = space or open_workspace()
    config = _config(
        space.catalogue,
        options or {},
        fusion=fusion,
        trainer=trainer,
        fusion_options=fusion_options,
        trainer_options=trainer_options,
        folds=folds,
        group=group,
        seed=seed,
        seeds=seeds,
        device=device,
    )
    _refuse_unlabelled(features)
    rows, plan = given_plan(features, seed) if features.folds else _plan(features, config)
    with finishing(space.work):
        training = train_rows(features, rows, plan, config, space)
    model, data = training.model, training.data
    held_out = out_of_fold(model, data)
    evaluation, subsets = score_held_out(model, data, held_out, group, seed)
    spread = _spread(held_out, rows, len(features.ids))
    values = np.full((len(features.ids), len(data.targets.values)), np.nan)
    values[rows] = held = values_out_of_fold(model, data)
    scored = held_out.rows
    return Fit(
        model=model,
        config=config,
        plan=replace(plan, folds=tuple(Fold(rows[fold.train], rows[fold.val]) for fold in plan.folds)),
        held_out=spread,
        evaluation=evaluation,
        subsets=subsets,
        held_out_values=values,
        targets=score_targets(data, scored, held_out.probabilities, held, groups_of(data, scored), group, seed),
    )


def load_fit(folder: str | Path, *, device: str | None = None, space: Workspace | None = None) -> FittedModel:
    """Read back what :meth:`FittedModel.save` wrote.

    Raises:
        DataError: not such a folder.
        UsageError: the model of a run, which makes its features itself.
    """
    found = load_pipeline(Path(folder), space or open_workspace(), device)
    if found.config.streams:
        raise UsageError(
            f"{folder} is the model of a run, whose features are made from media.",
            "Use mer_core.predict(folder, clips).",
        )
    return FittedModel(model=found.model, config=found.config)


def _config(catalogue: Catalogue, options: Mapping[str, Mapping[str, Any]], **settings: Any) -> RunConfig:
    """A run's configuration without data, extractors and derivers."""
    parts = [catalogue.entry(FusionSpec, settings["fusion"]), catalogue.entry(TrainerSpec, settings["trainer"])]
    refuse_strangers(options, (), parts, "this fit")
    found = make_config(catalogue, options=options, **settings)
    return found.model_copy(update={"data": DataChoice(source="arrays"), "streams": {}, "derivers": {}, "preset": ""})


def _refuse_unlabelled(features: FeatureSet) -> None:
    """Refuse features of which no clip could be learnt from or scored, saying what they lack."""
    labelled = learnable(features)
    if not labelled.any():
        asked = features.targets.classes or features.targets.values
        said = "no clip has a label." if asked else "compose() was given no labels."
        raise TooLittleDataError(said, "Give one label per clip, of at least two classes: compose(streams, labels).")
    if features.splits and not (labelled & ~_to_score(features)).any():
        raise TooLittleDataError("every labelled clip is of the split 'test'.", "Leave some of them in 'train'.")


def _plan(features: FeatureSet, config: RunConfig) -> tuple[NDArray[np.int64], FoldPlan]:
    try:
        return plan_training(features, config)
    except TooLittleDataError as error:
        hint = "Give compose() labels of at least two classes, for clips that have a stream."
        raise TooLittleDataError(error.message, hint) from None


def _spread(found: OutOfFold, rows: NDArray[np.int64], count: int) -> OutOfFold:
    """Predictions for ``rows`` as predictions for all ``count`` clips."""
    probabilities = np.full((count, found.probabilities.shape[1]), np.nan)
    folds = np.full(count, NO_FOLD, dtype=np.int64)
    probabilities[rows], folds[rows] = found.probabilities, found.fold
    if found.each is None:
        return OutOfFold(probabilities, folds)
    each = np.full((len(found.seeds), *probabilities.shape), np.nan)
    each[:, rows] = found.each
    return OutOfFold(probabilities, folds, found.seeds, each)


def _to_score(features: FeatureSet) -> NDArray[np.bool_]:
    """bool [N]: the clip is of the test split, or no clip has any split."""
    return np.asarray([split == "test" for split in features.splits or ["test"] * len(features.ids)], dtype=bool)


def _refuse_strange(features: FeatureSet, model: Model) -> None:
    for name, info in features.streams.items():
        if name not in model.streams:
            close = difflib.get_close_matches(name, list(model.streams), n=1)
            hint = f"Did you mean {close[0]!r}?" if close else f"Its streams are {', '.join(model.streams)}."
            raise DataError(f"the model has no stream {name!r}.", hint)
        if info.dim != model.streams[name].dim:
            raise DataError(
                f"stream {name!r} has {info.dim} columns; the model was fitted to {model.streams[name].dim}.",
                "Make it as it was made for training.",
            )


def _in_order(features: FeatureSet, classes: tuple[str, ...]) -> NDArray[np.int64]:
    """[N] labels as indices into ``classes``."""
    place = {name: number for number, name in enumerate(classes)}
    for own, name in enumerate(features.targets.classes):
        if name not in place and (features.labels == own).any():
            raise DataError(f"the model does not know the class {name!r}.", f"Its classes are {', '.join(classes)}.")
    index = [*(place.get(name, UNLABELLED) for name in features.targets.classes), UNLABELLED]
    return np.asarray(index, dtype=np.int64)[features.labels]
