"""``mer weights``: which published weights plugins can load, where they are, and whether they load as promised."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_core.catalogue import Catalogue, Entry
from mer_core.errors import PluginError
from mer_core.spec import ExtractorSpec, PresetSpec, Weights
from mer_core.weights import fetch, find, is_here, locate

SMOKE = ("starts", "dimension", "times", "finite", "batch-invariance")
"""Checks of the conformance kit that say whether loaded weights give features as they should."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Weights, the plugins (``name@distribution``) that load them, and where they are (None: not here)."""

    weights: Weights
    plugins: tuple[str, ...]
    place: Path | None


@dataclass(frozen=True, slots=True)
class Verified:
    """What one plugin made of the weights: ``wrong`` is empty where all is as promised."""

    plugin: str
    path: Path
    dim: int
    parameters: int
    wrong: tuple[str, ...]


def list_weights(catalogue: Catalogue) -> list[Listed]:
    """All weights that the installed plugins list, by name."""
    found: dict[str, tuple[Weights, list[str]]] = {}
    for entry in catalogue.entries:
        for one in entry.spec.weights if not entry.problem else ():
            found.setdefault(one.name, (one, []))[1].append(entry.full_name)
    return [Listed(one, tuple(owners), is_here(one)) for _, (one, owners) in sorted(found.items())]


def find_weights(catalogue: Catalogue, name: str) -> Weights:
    """The weights called ``name``, or any of the hub by ``owner/name``.

    Raises:
        UsageError: no such name.
    """
    return find(name, [one.weights for one in list_weights(catalogue)])


def wanted_weights(catalogue: Catalogue, name: str) -> list[Weights]:
    """The weights called ``name``, or all that the preset of that name loads.

    Raises:
        UsageError: no such name.
    """
    if name not in {entry.spec.name for entry in catalogue.of_kind(PresetSpec)}:
        return [find_weights(catalogue, name)]
    preset = catalogue.find(PresetSpec, name)
    found: dict[str, Weights] = {}
    for extractor in (one for names in preset.extractors.values() for one in names):
        options = catalogue.options(ExtractorSpec, extractor, preset.extractor_options.get(extractor, {}))
        model = getattr(options, "model", None)
        if catalogue.find(ExtractorSpec, extractor).weights and model:
            found[str(model)] = find_weights(catalogue, str(model))
    return list(found.values())


def fetch_weights(catalogue: Catalogue, name: str, revision: str = "") -> Path:
    """Download the weights called ``name`` and return their folder.

    Raises:
        UsageError: no such name.
        EnvironmentProblem: they cannot be fetched.
    """
    return fetch(find_weights(catalogue, name), revision)


def locate_weights(catalogue: Catalogue, name: str, revision: str = "") -> Path:
    """Where the weights are.

    Raises:
        MissingWeightsError: with the command that fetches them.
    """
    return locate(name, [one.weights for one in list_weights(catalogue)], revision).path


def verify_weights(catalogue: Catalogue, name: str, device: str = "cpu") -> list[Verified]:
    """Load weights with each plugin that lists them; compare with what is promised, and extract a smoke feature.

    Raises:
        MissingWeightsError: they are not here.
        PluginError: no plugin lists them.
    """
    path = locate_weights(catalogue, name)
    owners = list(_owners(catalogue, name))
    if not owners:
        raise PluginError(f"no installed plugin lists the weights {name!r}.", "See 'mer weights list'.")
    return [_verify(catalogue, entry, one, path, device) for entry, one in owners]


def _owners(catalogue: Catalogue, name: str) -> Iterator[tuple[Entry, Weights]]:
    for entry in catalogue.entries:
        for one in entry.spec.weights:
            if not entry.problem and name in (one.name, one.repo):
                yield entry, one


def _verify(catalogue: Catalogue, entry: Entry, weights: Weights, path: Path, device: str) -> Verified:
    spec = entry.spec
    options = catalogue.options(type(spec), entry.full_name, {"model": weights.name})
    instance = catalogue.load(type(spec), entry.full_name)(options, device)
    dim, parameters = int(getattr(instance, "dim", 0)), _parameters(instance)
    wrong = [*_differs("dim", weights.dim, dim), *_differs("parameters", weights.parameters, parameters)]
    if isinstance(spec, ExtractorSpec):
        wrong += _smoke(entry, weights, device)
    return Verified(entry.full_name, path, dim, parameters, tuple(wrong))


def _differs(what: str, promised: int, found: int) -> list[str]:
    return [f"{what} is {found:,}, and {promised:,} was promised"] if promised and found != promised else []


def _parameters(instance: Any) -> int:
    """Parameters of all torch modules that are attributes of the plugin."""
    from torch import nn

    modules = [value for value in vars(instance).values() if isinstance(value, nn.Module)]
    return sum(one.numel() for module in modules for one in module.parameters())


def _smoke(entry: Entry, weights: Weights, device: str) -> list[str]:
    from mer_core.testing.run import check_plugin, checks

    known = {check.name for check in checks("extractor")}
    only = [name for name in SMOKE if name in known]
    report = check_plugin(entry.full_name, options={"model": weights.name}, device=device, only=only)
    return [f"{result.check}: {result.reason}" for result in report.results if not result.good]
