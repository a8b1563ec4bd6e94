"""The conformance kit's frame: named checks, what they need, and what came out of them.

A check is a function of a subject (a plugin with options). It returns when all is well, raises
:class:`CheckFailed` where the contract is broken, and :class:`NotApplicable` where it has nothing to
say. Whatever else it raises counts as a failure too, and is told with the plugin's own line that led to
it and the check's usual cure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mer_core.errors import MerError, UsageError
from mer_core.testing.words import ended, said, where

Outcome = Literal["passed", "failed", "skipped", "blocked", "expected", "unexpected"]
"""``expected``: failed, as announced. ``unexpected``: announced to fail, but passed. ``blocked``: a
check that this one builds on failed."""

GOOD: tuple[Outcome, ...] = ("passed", "skipped", "expected")

NAMED = 3
"""Checks that were not run are named where they are at most so many."""


class CheckFailed(AssertionError):
    """The plugin breaks the contract; the message says how, with numbers, and what to do."""


class Raised(CheckFailed):
    """The plugin raised what the check did not foresee; the check's usual cure goes with it."""


class NotApplicable(Exception):
    """The check has nothing to say about this plugin; the message says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One named check. ``needs`` names checks without which its outcome would mean nothing.

    A needed check that a kind of plugin does not have counts as passed. ``cure`` is what usually helps
    where the check fails.
    """

    name: str
    about: str
    run: Callable[[Any], None]
    needs: tuple[str, ...] = ()
    cure: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found, in ``seconds``."""

    check: str
    outcome: Outcome
    reason: str = ""
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Passed, has nothing to say, or failed as announced."""
        return self.outcome in GOOD


@dataclass(frozen=True, slots=True)
class Report:
    """What all checks found about a plugin (``name@distribution``)."""

    plugin: str
    kind: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return all(result.good for result in self.results)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed unannounced."""
        return tuple(result.check for result in self.results if result.outcome == "failed")

    def __str__(self) -> str:
        ran = [r for r in self.results if r.outcome != "blocked"]
        lines = [f"{r.outcome:10} {r.check}{': ' + r.reason if r.reason else ''}" for r in ran]
        lines += [f"{'blocked':10} {line}" for line in not_run(self.results)]
        return "\n".join([f"{self.kind} {self.plugin}", *lines])


def not_run(results: Iterable[Result]) -> list[str]:
    """A line for each check that blocked others: ``12 checks not run: starts did not pass``."""
    names: dict[str, list[str]] = {}
    for result in results:
        if result.outcome == "blocked":
            names.setdefault(result.reason, []).append(result.check)
    return [_not_run(blocked, reason) for reason, blocked in names.items()]


def _not_run(names: list[str], reason: str) -> str:
    count = f"{len(names)} check{'s' * (len(names) > 1)}"
    which = f" ({', '.join(names)})" if len(names) <= NAMED else ""
    return f"{count} not run{which}: {reason}"


def check(*, needs: tuple[str, ...] = (), cure: str = "") -> Callable[[Callable[[Any], None]], Check]:
    """Make a check of a function: its name with dashes, the first line of its docstring."""

    def made(function: Callable[[Any], None]) -> Check:
        about = (function.__doc__ or "").strip().split("\n")[0]
        return Check(function.__name__.rstrip("_").replace("_", "-"), about, function, needs, cure)

    return made


def require(condition: object, message: str) -> None:
    """Raise :class:`CheckFailed` with ``message`` unless ``condition``."""
    if not condition:
        raise CheckFailed(message)


class Session:
    """The checks of one subject. Each runs once, when asked for, after those that it needs.

    A subject that cannot be made (wrong options, say) is the asker's fault, no finding: that raises.
    """

    def __init__(
        self, checks: tuple[Check, ...], subject: Callable[[], Any], expected: Mapping[str, str] | None = None
    ) -> None:
        self.checks = {check.name: check for check in checks}
        self._subject, self._made = subject, None
        self._expected = dict(expected or {})
        self._results: dict[str, Result] = {}
        self._excused: set[str] = set()
        unknown = sorted(set(self._expected) - set(self.checks))
        if unknown:
            raise UsageError(f"there is no check called {unknown[0]!r}.", f"Checks are {', '.join(self.checks)}.")

    def __iter__(self) -> Iterator[Result]:
        return (self.result(name) for name in self.checks)

    def result(self, name: str) -> Result:
        """What the check ``name`` found."""
        if name not in self._results:
            self._results[name] = self._announced(self._run(self.checks[name]))
        return self._results[name]

    def _run(self, check: Check) -> Result:
        for needed in (name for name in check.needs if name in self.checks):
            found = self.result(needed)
            outcome = found.outcome
            if outcome == "expected" or needed in self._excused:
                self._excused.add(check.name)
                return Result(check.name, "skipped", f"{needed} is known not to pass")
            if outcome in ("failed", "blocked"):
                first = found.reason if outcome == "blocked" else f"{needed} did not pass"
                return Result(check.name, "blocked", first)
        return timed(check, self._get())

    def _get(self) -> Any:
        if self._made is None:
            self._made = self._subject()
        return self._made

    def _announced(self, result: Result) -> Result:
        reason = self._expected.get(result.check)
        if reason is None or result.outcome in ("blocked", "skipped"):
            return result
        if result.outcome == "failed":
            return Result(result.check, "expected", f"{reason} ({result.reason})", result.seconds)
        said = f"expected to fail ({reason}), but it passes: take it off the list of expected failures"
        return Result(result.check, "unexpected", said, result.seconds)


def timed(check: Check, subject: Any) -> Result:
    """Run one check and turn whatever it raises into a result."""
    import time

    began = time.monotonic()
    outcome: Outcome = "passed"
    reason = ""
    try:
        check.run(subject)
    except NotApplicable as error:
        outcome, reason = "skipped", str(error)
    except (Exception, SystemExit) as error:
        outcome, reason = "failed", _told(error, check.cure, _target(subject))
    return Result(check.name, outcome, reason, time.monotonic() - began)


def _told(error: BaseException, cure: str, target: str) -> str:
    """What a failed check says: its own words, or the exception, where it was raised, and what usually helps."""
    usual = f" Usual cure: {ended(cure)}" if cure else ""
    if isinstance(error, CheckFailed):
        return ended(str(error)) + usual if isinstance(error, Raised) else str(error)
    if isinstance(error, MerError) and error.hint:
        place = where(error, target)
        return f"{error.message.rstrip('.')}{f' ({place})' if place else ''}. {error.hint}"
    return ended(said(error, target)) + usual


def _target(subject: Any) -> str:
    """``package.module:Class`` of the plugin; empty for a subject of another kind."""
    return str(getattr(getattr(subject, "spec", None), "target", ""))
