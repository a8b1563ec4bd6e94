"""``mer tune``: draw options, let each fold choose among them by its own training clips, and keep the best draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from mer_core.config import RunConfig
from mer_core.configure import make_config
from mer_core.errors import TooLittleDataError, UsageError
from mer_core.feature_set import FeatureSet
from mer_core.protocols import Model
from mer_core.registry import Catalogue, Entry
from mer_core.search import EXAMPLE, Listed, Space, Values, draw, read_space
from mer_core.settings import Settings, refuse_unknown
from mer_core.workflows.choosing import Choice, choose, standings, tell
from mer_core.workflows.features import take
from mer_core.workflows.folding import hide_test, plan_training
from mer_core.workflows.learning import Deployed, Learning, deploy
from mer_core.workflows.log import RunLog
from mer_core.workflows.nested import PARTS, NestedModel, hold_out_inside
from mer_core.workflows.pipeline import fusion_entry, trainer_entry
from mer_core.workflows.run import RunResult, run_config
from mer_core.workflows.scoring import out_of_fold
from mer_core.workflows.searching import KINDS, Candidate, Search, fit_trials, with_draw
from mer_core.workflows.train import Training, train_rows
from mer_core.workflows.trial_files import Journal, write_table
from mer_core.workflows.workspace import Workspace, open_workspace

TRIALS = 50
USUAL = {"hidden": (64, 128, 256), "dropout": (0.2, 0.3, 0.4, 0.5)}
"""Drawn from for a fusion that does not say what from, if it has such options."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunt:
    """What is searched, and how.

    Args:
        trials: draws at most.
        space: what is drawn from.
        inner: parts of a fold's training clips that are held out in turn, of five.
        halvings: how often the better third is kept and trained three times as long.
    """

    space: Space
    trials: int = TRIALS
    inner: int = 1
    halvings: int = 0


def tune(
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    trials: int = TRIALS,
    search: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
    inner: int = 1,
    halving: int = 0,
    space: Workspace | None = None,
    **settings: Unpack[Settings],
) -> RunResult:
    """Search the options of fusion and trainer, nested in the folds; otherwise as :func:`mer_core.run`.

    Args:
        out: the search's folder; a search that was killed goes on there when it is repeated.
        trials: draws at most; fewer where there are not so many different ones.
        search: ``["attention.hidden=64,128", "cv.lr=1e-4..1e-3"]`` or ``{"attention": {"hidden": (64, 128)}}``; by
            default what the fusion and the trainer say.
        inner: how many of five parts of a fold's training clips are held out in turn to choose by.
        halving: how often the better third of the draws is kept and trained three times as long; 0: all are
            trained to the end.

    Raises:
        MerError: as ``run``; UsageError, OptionError: a draw that cannot be.
    """
    refuse_unknown(settings, "tune", ("data", "out", "trials", "search", "inner", "halving", "space"))
    space = space or open_workspace()
    config = make_config(space.catalogue, data=data, **settings)
    hunt = make_hunt(config, space.catalogue, search, trials=trials, inner=inner, halving=halving)
    return tune_config(config, hunt, space, out=Path(out) if out else None)


def tune_config(
    config: RunConfig, hunt: Hunt, space: Workspace, *, out: Path | None = None, command: str = ""
) -> RunResult:
    """Like :func:`tune`, for a configuration and a search that are already resolved."""
    if config.seeds > 1:
        raise UsageError("a search trains with one seed.", "Then: mer train --config OUT/config.toml --seeds 3.")
    candidates = [
        Candidate(number, one, with_draw(config, one, space.catalogue))
        for number, one in enumerate(draw(hunt.space, hunt.trials, config.seed), 1)
    ]
    return run_config(config, space, out=out, command=command, fit=partial(_fit, hunt, candidates))


def make_hunt(
    config: RunConfig,
    catalogue: Catalogue,
    search: Sequence[str] | Mapping[str, Mapping[str, Any]] = (),
    *,
    trials: int = TRIALS,
    inner: int = 1,
    halving: int = 0,
) -> Hunt:
    """A search that can be made.

    Raises:
        UsageError: naming what cannot be.
    """
    if trials < 1 or not 1 <= inner <= PARTS or halving < 0:
        what = f"{trials} trials, {inner} inner parts, {halving} halvings: such a search cannot be made."
        raise UsageError(what, f"Give at least one trial, 1 to {PARTS} inner parts, 0 or more halvings.")
    asked = _listed(search) if isinstance(search, Mapping) else read_space(search)
    owners = {"fusion": fusion_entry(config, catalogue), "trainer": trainer_entry(config, catalogue)}
    space = _owned(asked, owners) if asked else usual(config, catalogue)
    return Hunt(space=space, trials=trials, inner=inner, halvings=halving)


def _listed(search: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Values]]:
    """Values that are given as such; text is read as the command line's."""
    return {
        owner: {
            name: read_space([f"{owner}.{name}={values}"])[owner][name]
            if isinstance(values, str)
            else Listed(tuple(values))
            for name, values in own.items()
        }
        for owner, own in search.items()
    }


def _owned(asked: Mapping[str, Mapping[str, Values]], owners: Mapping[str, Entry]) -> Space:
    found: dict[str, Values] = {}
    for owner, own in asked.items():
        part = next((part for part, entry in owners.items() if entry.answers_to(owner)), None)
        if part is None:
            names = " or ".join(entry.spec.name for entry in owners.values())
            raise UsageError(f"--search {owner}: a search draws options of {names}.", EXAMPLE)
        found |= {f"{part}.{name}": values for name, values in own.items()}
    return found


def usual(config: RunConfig, catalogue: Catalogue) -> Space:
    """What the plugins' specs say is drawn from; a fusion that says nothing: hidden width and dropout.

    Raises:
        UsageError: there is nothing to draw.
    """
    found: dict[str, Values] = {}
    for part, kind in KINDS.items():
        name = getattr(config, part).name
        spec: Any = catalogue.entry(kind, name).spec
        known = catalogue.options_class(kind, name).model_fields
        usual = {key: values for key, values in USUAL.items() if key in known} if part == "fusion" else {}
        found |= {f"{part}.{key}": Listed(tuple(values)) for key, values in (spec.search or usual).items()}
    if not found:
        raise UsageError("neither the fusion nor the trainer says what is to be searched.", EXAMPLE)
    return found


def _fit(
    hunt: Hunt, candidates: Sequence[Candidate], learning: Learning, space: Workspace, log: RunLog
) -> tuple[Training, Deployed]:
    """Search, choose, and train what was chosen."""
    config, features, folder = learning.extraction.config, learning.extraction.features, log.file.parent
    rows, plan = learning.planned or plan_training(features, config)
    data = hide_test(take(features, rows, plan.folds))
    _refuse(data, plan.reason)
    names = tuple(hunt.space)
    with log.stage("search", trials=len(candidates), folds=len(plan.folds)):
        inside = hold_out_inside(data, hunt.inner, config)
        search = Search(inside, candidates, config, space, Journal(folder), hunt.halvings)
        for one in search.run():
            log.write("trial", trial=one.trial, share=one.share, inner=one.inner, reused=search.reused, error=one.error)
            write_table(folder, search.tried, names, len(plan.folds))
    choice = choose(standings(search.tried, len(plan.folds)), len(plan.folds))
    with log.stage("train", draws=sorted({*choice.folds, choice.kept})):
        kept = candidates[choice.kept - 1].config
        final = train_rows(features, rows, plan, kept, space)
        members = _members(data, choice, candidates, final.model, space)
        model = NestedModel(members, final.model, {})
        nested = out_of_fold(model, data)
        told = tell(
            data, search.tried, choice, nested, hunt.space, config,
            asked=hunt.trials, inner=hunt.inner, halvings=hunt.halvings, reused=search.reused,
        )  # fmt: skip
        model.summary = {**model.summary, "tuning": told.model_dump(mode="json")}
        extraction = replace(learning.extraction, config=kept)
        deployed = deploy(replace(learning, extraction=extraction), final, space)
    return Training(model, data, rows, plan), deployed


def _refuse(data: FeatureSet, reason: str | None) -> None:
    if len(data.targets.classes) < 2:
        raise UsageError("a search chooses by WAF, and there are no classes.", "Use mer train for values alone.")
    if not data.folds:
        hint = "Label more clips, or choose the options yourself and use mer train."
        raise TooLittleDataError(f"nothing can be chosen without folds: {reason}.", hint)


def _members(
    data: FeatureSet, choice: Choice, candidates: Sequence[Candidate], kept: Model, space: Workspace
) -> list[tuple[Model, int]]:
    """By fold, a model of the draw that it chose, trained on its whole training part, and the member of it."""
    found = {fold: (kept, fold) for fold, trial in enumerate(choice.folds) if trial == choice.kept}
    others = sorted({*choice.folds} - {choice.kept})
    folds = [tuple(fold for fold, trial in enumerate(choice.folds) if trial == own) for own in others]
    chosen = [candidates[own - 1] for own in others]
    if chosen:
        for place, model in fit_trials(data, chosen, folds, chosen[0].config, space):
            if isinstance(model, Exception):
                raise model
            found |= {fold: (model, member) for member, fold in enumerate(folds[place])}
    return [found[fold] for fold in range(len(choice.folds))]
