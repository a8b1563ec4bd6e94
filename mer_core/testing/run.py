"""The kit's three doors: a function, a pytest decorator, and what the command line calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

from mer_core.errors import OptionError, PluginError, UsageError
from mer_core.registry import Catalogue, Entry, discover
from mer_core.spec import PluginSpec, plain, spec_class
from mer_core.testing.artefacts import require_part
from mer_core.testing.kit import Check, CheckFailed, Report, Result, Session
from mer_core.testing.subject import TOLERANCE, Subject
from mer_core.types import Derived

_HOMES = {
    "extractor": "mer_core.testing.extractor",
    "deriver": "mer_core.testing.deriver",
    "fusion": "mer_core.testing.fusion",
    "trainer": "mer_core.testing.trainer",
    "dataset": "mer_core.testing.dataset",
    "listener": "mer_core.testing.listener",
}


def checks(kind: str) -> tuple[Check, ...]:
    """All checks for plugins of ``kind``, in the order in which they run.

    Raises:
        UsageError: presets and protocols are data and have no checks.
    """
    if kind not in _HOMES:
        raise _no_checks(kind)
    found: tuple[Check, ...] = import_module(_HOMES[kind]).CHECKS
    return found


def check_plugin(
    name: str,
    *,
    kind: str | None = None,
    options: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    derived: Mapping[str, Derived] | None = None,
    deriver_options: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "cpu",
    tolerance: float = TOLERANCE,
    plugins: Iterable[object] = (),
    only: Collection[str] = (),
    on_result: Callable[[Result], None] | None = None,
) -> Report:
    """Run all checks on an installed plugin.

    Args:
        name: ``NAME`` or ``NAME@DISTRIBUTION``.
        kind: needed only where plugins of several kinds have that name.
        options: the plugin's options, as ``-o`` would give them.
        expected_failures: ``{check: reason}`` for what is known and honest; one that passes after all is
            reported as ``unexpected``.
        derived: stand-ins for derived inputs; without them an installed deriver makes them.
        deriver_options: options of those derivers, by their names.
        device: torch device string.
        tolerance: largest difference between two ways of computing the same features that counts as equal,
            as a share of their spread; raise it for half precision.
        plugins: plugin objects that are not installed, as in :func:`mer_core.registry.discover`.
        only: names of the checks to run; empty for all.
        on_result: called after each check.

    Raises:
        PluginError: no such plugin, or one that cannot be used.
        UsageError: no such check, or options of a deriver that has no part in it.
        OptionError: naming the option.
    """
    catalogue = discover(plugins)
    entry = find_entry(catalogue, name, kind)
    chosen = checks(entry.spec.kind)
    asked = _Asked(options or {}, derived or {}, deriver_options or {}, device, tolerance)
    session = Session(chosen, lambda: _subject(catalogue, entry, asked), expected_failures)
    unknown = sorted(set(only) - set(session.checks))
    if unknown:
        raise UsageError(f"there is no check called {unknown[0]!r}.", f"Checks are {', '.join(session.checks)}.")
    results = []
    for check in chosen:
        if only and check.name not in only:
            continue
        results.append(session.result(check.name))
        if on_result:
            on_result(results[-1])
    return Report(entry.full_name, entry.spec.kind, tuple(results))


@dataclass(frozen=True, kw_only=True)
class BoundCheck:
    """One check of one plugin, as pytest hands it to a test: call it."""

    check: Check
    make_session: Callable[[Mapping[str, Any], Mapping[str, Derived]], Session]
    sessions: dict[str, Session] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def __call__(
        self, *, options: Mapping[str, Any] | None = None, derived: Mapping[str, Derived] | None = None
    ) -> None:
        """Run the check; fail, skip or xfail the test that calls it.

        Args:
            options: options that are known only in the test (a path of a fixture, say), added to those
                given to :func:`conformance`.
            derived: likewise, stand-ins for derived inputs.
        """
        import pytest

        key = json.dumps([plain(dict(options or {})), sorted(derived or {})], default=str)
        if key not in self.sessions:
            self.sessions[key] = self.make_session(options or {}, derived or {})
        if key in self.refused:
            pytest.skip(self.refused[key])
        try:
            result = self.sessions[key].result(self.check.name)
        except OptionError as error:  # one test tells it, the others need not
            self.refused[key] = error.message
            raise OptionError(error.message, "In the test, give options: check(options={...}).") from None
        if result.outcome in ("skipped", "blocked"):
            pytest.skip(result.reason)
        if result.outcome == "expected":
            pytest.xfail(result.reason)
        if not result.good:
            raise CheckFailed(f"{self.check.name}: {result.reason}")


def conformance(
    name: str,
    *,
    kind: str | None = None,
    options: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
    derived: Mapping[str, Derived] | None = None,
    deriver_options: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "cpu",
    tolerance: float = TOLERANCE,
    plugins: Iterable[object] = (),
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Parametrise a pytest test over all checks of a plugin; the test takes ``check`` and calls it.

    Arguments are those of :func:`check_plugin`. A check that fails as announced is an xfail.
    """
    import pytest

    catalogue = discover(plugins)
    entry = find_entry(catalogue, name, kind)
    chosen = checks(entry.spec.kind)

    def make(more: Mapping[str, Any], stand_ins: Mapping[str, Derived]) -> Session:
        merged, stand_ins = {**(options or {}), **more}, {**(derived or {}), **stand_ins}
        asked = _Asked(merged, stand_ins, deriver_options or {}, device, tolerance)
        return Session(chosen, lambda: _subject(catalogue, entry, asked), expected_failures)

    sessions: dict[str, Session] = {}
    refused: dict[str, str] = {}
    bound = [BoundCheck(check=check, make_session=make, sessions=sessions, refused=refused) for check in chosen]
    return pytest.mark.parametrize("check", bound, ids=[check.name for check in chosen])


def find_entry(catalogue: Catalogue, name: str, kind: str | None = None) -> Entry:
    """The one plugin called ``name`` that has checks.

    Raises:
        PluginError: none, several, or one that cannot be used.
        UsageError: its kind has no checks.
    """
    named = catalogue.meant(PluginSpec, name)
    kinds = sorted({e.spec.kind for e in named} & set(_HOMES))
    if len(kinds) > 1:  # a module that offers plugins and listens, too, often has an entry point named like one
        kinds = [found for found in kinds if found != "listener"]
    if len(kinds) > 1 and kind is None:
        raise PluginError(f"{name!r} is the name of {' and '.join(kinds)}.", f"Say which: --kind {kinds[0]}.")
    if not named and kind is None:
        raise catalogue.unknown(name)
    wanted = kind or (kinds or [named[0].spec.kind])[0]
    if wanted not in _HOMES:
        raise _no_checks(wanted)
    return catalogue.entry(spec_class(wanted), name)


def _no_checks(kind: str) -> UsageError:
    return UsageError(f"there are no checks for {kind!r}.", f"Kinds are {', '.join(_HOMES)}.")


class _Asked(NamedTuple):
    """How a plugin is to be examined; see :func:`check_plugin`."""

    options: Mapping[str, Any]
    derived: Mapping[str, Derived]
    deriver_options: Mapping[str, Mapping[str, Any]]
    device: str
    tolerance: float


def _subject(catalogue: Catalogue, entry: Entry, asked: _Asked) -> Subject:
    options = catalogue.options(type(entry.spec), entry.full_name, dict(asked.options))
    require_part(catalogue, entry, options, asked.deriver_options)
    return Subject(
        entry=entry,
        catalogue=catalogue,
        options=options,
        device=asked.device,
        derived=dict(asked.derived),
        deriver_options=dict(asked.deriver_options),
        tolerance=asked.tolerance,
    )
