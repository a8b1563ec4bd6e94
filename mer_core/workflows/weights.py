"""``mer weights``: which published weights plugins can load, where they are, and whether they load as promised."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mer_core.catalogue import Catalogue, Entry
from mer_core.errors import PluginError
from mer_core.spec import ExtractorSpec, PresetSpec, Weights
from mer_core.weights import find, is_here, locate
from mer_core.weights_hub import fetch

SMOKE = ("starts", "dimension", "times", "finite", "batch-invariance")
"""Checks of the conformance kit that say whether loaded weights give features as they should."""

SLOW_SMOKE = ("starts", "dimension")
"""The same for an extractor that reads its weights layer by layer, each time anew."""


@dataclass(frozen=True, slots=True)
class Listed:
    """Weights, the plugins (``name@distribution``) that load them, and where they are (None: not here)."""

    weights: Weights
    plugins: tuple[str, ...]
    place: Path | None


@dataclass(frozen=True, slots=True)
class Kept:
    """One promise, or one check of a smoke feature: what it is about, whether it is kept, and that in words."""

    about: str
    good: bool
    words: str


@dataclass(frozen=True, slots=True)
class Verified:
    """What one plugin made of the weights; ``kept`` says it promise by promise."""

    plugin: str
    path: Path
    dim: int
    parameters: int
    kept: tuple[Kept, ...]

    @property
    def wrong(self) -> tuple[str, ...]:
        """What is not as promised, in words; empty where all is."""
        return tuple(one.words for one in self.kept if not one.good)


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


def shorter_name(catalogue: Catalogue, preset: str, names: Collection[str]) -> str:
    """``preset`` if fetching it fetches the weights called ``names`` and nothing else, else an empty text."""
    if preset not in {entry.spec.name for entry in catalogue.of_kind(PresetSpec)}:
        return ""
    absent = {one.name for one in wanted_weights(catalogue, preset) if is_here(one) is None}
    return preset if absent == set(names) else ""


def fetch_weights(catalogue: Catalogue, name: str, revision: str = "", again: bool = False) -> Path:
    """Download the weights called ``name`` and return their folder; with ``again`` even what is here.

    Raises:
        UsageError: no such name.
        EnvironmentProblem: they cannot be fetched.
    """
    return fetch(find_weights(catalogue, name), revision, again=again)


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
        PluginError: no plugin lists them, or they cannot be loaded; it names the file that is damaged.
    """
    path = locate_weights(catalogue, name)
    owners = list(_owners(catalogue, name))
    if not owners:
        raise PluginError(
            f"no installed plugin lists the weights {name!r}, so nothing is promised of them.",
            f"See 'mer weights list', or try them: mer plugins check EXTRACTOR -o EXTRACTOR.model={name}",
        )
    return [_verify(catalogue, entry, one, path, device) for entry, one in owners]


def _owners(catalogue: Catalogue, name: str) -> Iterator[tuple[Entry, Weights]]:
    for entry in catalogue.entries:
        for one in entry.spec.weights:
            if not entry.problem and name in (one.name, one.repo):
                yield entry, one


def _verify(catalogue: Catalogue, entry: Entry, weights: Weights, path: Path, device: str) -> Verified:
    spec = entry.spec
    options = catalogue.options(type(spec), entry.full_name, {"model": weights.name})
    plugin = catalogue.load(type(spec), entry.full_name)
    instance = plugin(options, device)
    dim, parameters = int(getattr(instance, "dim", 0)), _parameters(instance)
    kept = [_promise("parameters", weights.parameters, parameters)]
    if isinstance(spec, ExtractorSpec):
        kept.insert(0, _promise("dim", weights.dim, dim))
        slow = hasattr(plugin, "extract_stream")
        del instance  # the checks load the weights themselves
        chosen = {"model": weights.name, **_least(options)}
        kept += _smoke(entry, chosen, device, SLOW_SMOKE if slow else SMOKE)
    return Verified(entry.full_name, path, dim, parameters, tuple(kept))


def _promise(what: str, promised: int, found: int) -> Kept:
    if promised and found != promised:
        return Kept(what, False, f"{what} is {found:,}, and {promised:,} was promised")
    return Kept(what, True, f"{what} is {found:,}, {'as promised' if promised else 'and nothing was promised'}")


def _parameters(instance: Any) -> int:
    """Parameters that a plugin holds: what its ``parameters`` says, else those of all torch modules in it.

    Modules are looked for in its attributes, and in those of objects from its own package.
    """
    said = getattr(instance, "parameters", None)
    if isinstance(said, int):
        return said
    from torch import nn

    home = type(instance).__module__.partition(".")[0]
    found: dict[int, int] = {}
    waiting, seen = [instance], {id(instance)}
    while waiting:
        for value in getattr(waiting.pop(), "__dict__", {}).values():
            if isinstance(value, nn.Module):
                found |= {id(one): one.numel() for one in value.parameters()}
            elif type(value).__module__.partition(".")[0] == home and id(value) not in seen:
                seen.add(id(value))
                waiting.append(value)
    return sum(found.values())


def _least(options: Any) -> Mapping[str, Any]:
    """Options for as little work as shows something, where an options class has a method ``smoke`` that says so."""
    told = getattr(options, "smoke", None)
    return told() if callable(told) else {}


def _smoke(entry: Entry, options: Mapping[str, Any], device: str, names: Sequence[str]) -> list[Kept]:
    from mer_core.testing.run import check_plugin, checks

    known = {check.name for check in checks("extractor")}
    only = [name for name in names if name in known]
    report = check_plugin(entry.full_name, options=options, device=device, only=only)
    return [Kept(one.check, one.good, f"{one.check}: {one.reason or one.outcome}") for one in report.results]
