"""The conformance kit's frame: sessions, expected failures, reports, and its three doors."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from shelf import Shelf, extractors

from mer_core.errors import MissingPackageError, OptionError, PluginError, UsageError
from mer_core.plugin import ExtractorSpec, FusionSpec
from mer_core.testing import Check, CheckFailed, NotApplicable, Report, Result, check_plugin, checks, conformance
from mer_core.testing.common import module_of
from mer_core.testing.kit import Session, check, not_run, require, timed
from mer_core.testing.run import find_entry
from mer_core.testing.words import said, where

pytest_plugins = ("pytester",)


@check()
def sound_one(subject: list[str]) -> None:
    """First line.

    Second line.
    """
    subject.append("sound-one")


@check()
def broken(subject: list[str]) -> None:
    """Always fails."""
    subject.append("broken")
    require(False, "3 is not 4: make it 4")


@check(needs=("broken",))
def builds_on_it(subject: list[str]) -> None:
    """Never comes to run."""
    subject.append("builds-on-it")


@check(needs=("builds-on-it", "never-heard-of"))
def builds_on_that(subject: list[str]) -> None:
    """Nor does this one."""


@check()
def not_for_this(subject: list[str]) -> None:
    """Has nothing to say."""
    raise NotApplicable("no time axis")


@check(cure="ask for what is declared")
def stumbles(subject: list[str]) -> None:
    """Raises what it did not mean to."""
    raise KeyError("frames")


ALL = (builds_on_it, sound_one, broken, builds_on_that, not_for_this, stumbles)


def outcomes(session: Session) -> dict[str, tuple[str, str]]:
    return {result.check: (result.outcome, result.reason) for result in session}


def test_a_check_is_named_after_its_function() -> None:
    assert (sound_one.name, sound_one.about) == ("sound-one", "First line.")
    assert builds_on_it.needs == ("broken",)


def test_a_session_runs_each_check_once_after_those_it_needs() -> None:
    ran: list[str] = []
    session = Session(ALL, lambda: ran)
    assert outcomes(session) == {
        "builds-on-it": ("blocked", "broken did not pass"),
        "sound-one": ("passed", ""),
        "broken": ("failed", "3 is not 4: make it 4"),
        "builds-on-that": ("blocked", "broken did not pass"),
        "not-for-this": ("skipped", "no time axis"),
        "stumbles": ("failed", "KeyError: 'frames'. Usual cure: ask for what is declared."),
    }
    assert outcomes(session)["sound-one"] == ("passed", "")
    assert ran == ["broken", "sound-one"]


def test_what_a_skipped_check_would_have_shown_is_not_missed() -> None:
    needing = Check("needing", "", lambda subject: None, ("not-for-this",))
    assert Session((not_for_this, needing), list).result("needing").outcome == "passed"


def test_announced_failures_are_good_and_announced_passes_are_not() -> None:
    announced = {"broken": "known", "sound-one": "surely", "not-for-this": "whatever", "builds-on-it": "so be it"}
    found = {result.check: result for result in Session(ALL, list, announced)}
    assert (found["broken"].outcome, found["broken"].good) == ("expected", True)
    assert found["broken"].reason == "known (3 is not 4: make it 4)"
    assert (found["sound-one"].outcome, found["sound-one"].good) == ("unexpected", False)
    assert "take it off the list of expected failures" in found["sound-one"].reason
    assert found["not-for-this"].outcome == "skipped"
    for name, needed in (("builds-on-it", "broken"), ("builds-on-that", "builds-on-it")):
        assert (found[name].outcome, found[name].reason) == ("skipped", f"{needed} is known not to pass")


def test_an_announced_failure_of_no_check_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no check called 'brokem'. Checks are builds-on-it, sound-one"):
        Session(ALL, list, {"brokem": "typo"})


def test_a_subject_that_cannot_be_made_raises_instead_of_failing_a_check() -> None:
    def refuse() -> Any:
        raise OptionError("no option 'x'.")

    with pytest.raises(OptionError):
        Session(ALL, refuse).result("sound-one")


def test_a_report_says_what_failed() -> None:
    report = Report("mine@dist", "extractor", tuple(Session(ALL, list)))
    assert not report.ok
    assert report.failed == ("broken", "stumbles")
    lines = str(report).splitlines()
    assert lines[0] == "extractor mine@dist"
    assert lines[1:3] == ["passed     sound-one", "failed     broken: 3 is not 4: make it 4"]
    assert lines[-1] == "blocked    2 checks not run (builds-on-it, builds-on-that): broken did not pass"
    assert Report("mine@dist", "extractor", (Result("sound-one", "passed"), Result("x", "expected"))).ok


def test_checks_that_were_not_run_are_one_line_for_each_that_blocked_them() -> None:
    blocked = [Result(name, "blocked", "starts did not pass") for name in "abcd"]
    assert not_run([Result("e", "failed"), *blocked]) == ["4 checks not run: starts did not pass"]
    apart = [Result("e", "blocked", "chance did not pass"), blocked[0]]
    assert not_run(apart) == [
        "1 check not run (e): chance did not pass", "1 check not run (a): starts did not pass",
    ]  # fmt: skip


TARGET = f"{__name__}:Plugin"


def fail(text: str) -> None:
    raise ValueError(text)


def caught(act: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as info:
        act()
    return info.value


def test_an_exception_is_told_with_the_plugins_own_innermost_line() -> None:
    line = fail.__code__.co_firstlineno + 1
    place = f"test_kit.py, line {line}, in fail"
    assert said(caught(lambda: fail("too\n  short.")), TARGET) == f"ValueError: too short ({place})"
    assert said(caught(lambda: fail("")), TARGET) == f"ValueError ({place})"
    within = where(caught(lambda: json.loads("{")), TARGET)
    assert within.startswith("test_kit.py, line ")
    assert within.endswith(", in <lambda>")
    assert where(caught(lambda: fail("x")), "elsewhere.module:Plugin") == ""
    assert len(said(caught(lambda: fail("x" * 5000)), "")) < 500


def test_an_error_with_a_hint_needs_no_usual_cure() -> None:
    def refuse(subject: Any) -> None:
        raise MissingPackageError("onnxruntime is not there.", "Run: pip install onnxruntime")

    subject = SimpleNamespace(spec=SimpleNamespace(target=TARGET))
    told = timed(Check("starts", "", refuse, cure="start it"), subject).reason
    assert told.startswith("onnxruntime is not there (test_kit.py, line ")
    assert told.endswith(", in refuse). Run: pip install onnxruntime")


def test_a_plugin_that_leaves_the_program_fails_its_check() -> None:
    check = Check("starts", "", lambda subject: sys.exit("no licence"))
    assert timed(check, None).reason == "SystemExit: no licence."


def test_every_check_has_a_cure() -> None:
    for kind in ("extractor", "deriver", "fusion", "trainer", "dataset"):
        assert [check.name for check in checks(kind) if not check.cure or check.cure.endswith(".")] == []


# the doors


def examine(name: str, **more: Any) -> Report:
    return check_plugin(name, plugins=[extractors.SHELF], **more)


def test_only_some_checks_on_request() -> None:
    seen: list[str] = []
    report = examine("sound", only=("dimension", "times"), on_result=lambda result: seen.append(result.check))
    assert [result.check for result in report.results] == seen == ["dimension", "times"]
    assert (report.plugin, report.kind, report.ok) == ("sound@extra", "extractor", True)


def test_an_unknown_check_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no check called 'dimensions'. Checks are light-import, "):
        examine("sound", only=("dimensions",))
    with pytest.raises(UsageError, match=r"no check called 'dimensions'"):
        examine("sound", expected_failures={"dimensions": "typo"})


def test_wrong_names_kinds_and_options_are_the_callers_fault() -> None:
    with pytest.raises(PluginError, match="Did you mean 'sound'"):
        examine("soud")
    with pytest.raises(OptionError, match=r"sound@extra: no option 'rate'"):
        examine("sound", options={"rate": 8000}, only=("starts",))
    with pytest.raises(UsageError, match="there are no checks for 'preset'"):
        checks("preset")


def test_expected_failures_of_a_plugin() -> None:
    report = examine("minutes", only=("times",), expected_failures={"times": "our frames are minutes"})
    assert report.ok
    assert report.results[0].outcome == "expected"


def test_the_kind_decides_between_two_of_one_name() -> None:
    twins = Shelf(ExtractorSpec(name="twin", target="a:B", modality="test"), FusionSpec(name="twin", target="a:B"))
    from mer_core.registry import discover

    catalogue = discover([twins])
    with pytest.raises(PluginError, match=r"'twin' is the name of extractor and fusion. Say which: --kind extractor"):
        find_entry(catalogue, "twin")
    assert find_entry(catalogue, "twin", "fusion").spec.kind == "fusion"


def test_every_kind_has_its_checks_about_imports_and_options_first() -> None:
    for kind in ("extractor", "deriver"):
        found = [check.name for check in checks(kind)]
        assert found[:3] == ["light-import", "options", "starts"]
        assert len(found) == len(set(found))
        assert all(check.about.endswith(".") for check in checks(kind))
        assert {need for check in checks(kind) for need in check.needs} <= set(found) | {"restore"}


# pytest's door

SUITE = """
    from shelf import extractors
    from mer_core.testing import conformance

    @conformance("{name}", plugins=[extractors.SHELF], expected_failures={expected})
    def test_contract(check):
        if check.check.name in {checks}:
            check({given})
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs :data:`SUITE` with the fields given; the counts of outcomes."""

    def run(name: str, *names: str, expected: dict[str, str] | None = None, given: str = "") -> Any:
        content = SUITE.format(name=name, expected=json.dumps(expected or {}), checks=names, given=given)
        pytester.makepyfile(content)
        monkeypatch.syspath_prepend(str(Path(__file__).parent))
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rsx", "--tb=line")

    return run


def test_pytest_runs_one_test_per_check(suite: Any) -> None:
    result = suite("sound", "starts", "dimension", "times", "finite", "restore")
    result.assert_outcomes(passed=len(checks("extractor")) - 1, skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*the spec does not say supervised*"])


def test_pytest_shows_what_is_wrong(suite: Any) -> None:
    result = suite("minutes", "starts", "times")
    result.assert_outcomes(passed=len(checks("extractor")) - 1, failed=1)
    result.stdout.fnmatch_lines(["*CheckFailed: times: a clip of 3 s (ordinary, seed 0): times run from *"])


def test_pytest_xfails_what_is_announced_and_fails_what_passes_after_all(suite: Any) -> None:
    result = suite("minutes", "times", "finite", expected={"times": "minutes are fine", "finite": "never"})
    result.assert_outcomes(passed=len(checks("extractor")) - 2, xfailed=1, failed=1)
    result.stdout.fnmatch_lines(["*finite: expected to fail (never), but it passes: take it off*"])


def test_pytest_skips_what_builds_on_a_failure(suite: Any) -> None:
    suite("absent", "starts", "dimension").assert_outcomes(passed=17, failed=1, skipped=1)


def test_options_may_be_given_in_the_test(suite: Any) -> None:
    result = suite("undescribedsound", "starts", given="options={'gain': 'loud'}")
    result.assert_outcomes(passed=len(checks("extractor")) - 1, failed=1)
    result.stdout.fnmatch_lines(["*OptionError: *option gain*"])


def test_options_that_are_refused_are_told_once(suite: Any) -> None:
    names = tuple(check.name for check in checks("extractor"))
    result = suite("undescribedsound", *names, given="options={'gain': 'loud'}")
    result.assert_outcomes(skipped=len(names) - 1, failed=1)


def test_a_bound_check_is_a_function_that_raises() -> None:
    @conformance("minutes", plugins=[extractors.SHELF])
    def contract(check: Any) -> None: ...

    bound = {one.check.name: one for one in contract.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    bound["dimension"]()
    with pytest.raises(CheckFailed, match=r"^times: .*seconds from the clip's start"):
        bound["times"]()


def test_the_module_that_lists_specs_is_found_whatever_the_plugin_object_is() -> None:
    from mer_plugins import specs

    assert module_of(specs) == "mer_plugins.specs"
    assert module_of(Shelf) == module_of(Shelf()) == "shelf"
