"""Discovery, the catalogue and its errors, with plugin objects made here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from mer_core import registry
from mer_core.errors import MissingPackageError, OptionError, PluginError
from mer_core.hookspecs import hookimpl
from mer_core.registry import Catalogue, discover
from mer_core.spec import DatasetSpec, ExtractorSpec, FusionSpec, PluginSpec


def plugin(*specs: PluginSpec) -> object:
    """An object with the hook implementation that returns ``specs``."""

    class Plugin:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            return list(specs)

    return Plugin()


def extractor(name: str, **changes: object) -> ExtractorSpec:
    fields: dict[str, object] = {"target": "collections:OrderedDict", "modality": "speech", **changes}
    return ExtractorSpec(name=name, **fields)  # type: ignore[arg-type]


def test_shipped_plugins_come_through_the_entry_point() -> None:
    found = {(e.spec.kind, e.spec.name) for e in discover().entries if e.distribution == "mer-toolkit"}
    assert {("extractor", "acoustic"), ("fusion", "attention"), ("trainer", "cv"), ("preset", "lite")} <= found


def test_unknown_name_gets_the_close_match() -> None:
    with pytest.raises(PluginError, match=r"no extractor called 'acustic'.*Did you mean 'acoustic'"):
        discover().find(ExtractorSpec, "acustic")


def test_a_name_of_mers_own_always_means_that_one() -> None:
    catalogue = discover([plugin(extractor("acoustic"))])
    assert len([e for e in catalogue.of_kind(ExtractorSpec) if e.spec.name == "acoustic"]) == 2
    for name in ("acoustic", "acoustic@mer-toolkit", "acoustic@Mer_Toolkit"):
        assert catalogue.entry(ExtractorSpec, name).distribution == "mer-toolkit"
    assert catalogue.find(ExtractorSpec, "acoustic@extra").target == "collections:OrderedDict"


def test_what_is_installed_and_given_as_well_is_there_once() -> None:
    import mer_plugins.specs

    assert len(discover([mer_plugins.specs]).entries) == len(discover().entries)


def test_missing_package_names_the_install_line() -> None:
    spec = extractor("needy", requires=("no_such_package_here",), install="pip install 'needy[all]'")
    with pytest.raises(MissingPackageError, match=r"no_such_package_here.*pip install 'needy\[all\]'"):
        discover([plugin(spec)]).load(ExtractorSpec, "needy")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (extractor("other-api", api=99), "plugin API 99"),
        (extractor("Bad_Name"), "not of the form"),
        (extractor("no-class", target="collections"), "not 'module:Class'"),
        (extractor("no-target", target=None), "has no attribute 'count'"),
        (extractor("text", requires="onnxruntime"), "requires is a text, not a tuple"),
        (extractor("text", needs="a server"), "needs is a text, not a tuple"),
        (extractor("package", requires=("scikit-learn",)), "'scikit-learn', which cannot be imported"),
        (extractor("older-api", api=0), "plugin API 0"),
    ],
)
def test_a_spec_that_cannot_be_used_is_listed_with_its_reason(spec: ExtractorSpec, reason: str) -> None:
    catalogue = discover([plugin(spec)])
    assert reason in next(e.problem for e in catalogue.entries if e.spec is spec)
    with pytest.raises(PluginError, match="cannot be used"):
        catalogue.load(ExtractorSpec, spec.name)


def test_same_name_in_two_kinds_is_no_conflict() -> None:
    catalogue = discover([plugin(extractor("twin"), FusionSpec(name="twin", target="collections:Counter"))])
    assert catalogue.load(FusionSpec, "twin").__name__ == "Counter"
    assert catalogue.load(ExtractorSpec, "twin").__name__ == "OrderedDict"


def hooked(hook: str, result: Callable[[], object]) -> object:
    """An object whose only hook, called ``hook``, returns ``result()``."""
    return type("Hooked", (), {hook: hookimpl(lambda self: result())})()


def raises(error: BaseException) -> Callable[[], object]:
    def raising() -> object:
        raise error

    return raising


@pytest.mark.parametrize(
    ("broken", "reason", "remedy"),
    [
        (
            hooked("mer_specs", raises(RuntimeError("boom"))),
            "its hook mer_specs raised RuntimeError: boom",
            "Repair it.",
        ),
        (hooked("mer_specs", raises(SystemExit(1))), "its hook mer_specs raised SystemExit: 1", "Repair it."),
        (hooked("mer_spec", list), "there is no hook called 'mer_spec'.", "Did you mean 'mer_specs'?"),
        (hooked("mer_run_ended", list), "there is no hook called 'mer_run_ended'.", "Did you mean 'mer_run_finished'?"),
        (hooked("mer_specs", lambda: None), "mer_specs returned None, not a list.", "Return a list of specs."),
        (hooked("mer_specs", lambda: {"a": 1}), "mer_specs returned one dict, not a list.", "Return a list of specs."),
        (SimpleNamespace(), "it implements no hook.", "Write @hookimpl"),
    ],
)
def test_what_cannot_be_read_is_explained_and_breaks_only_itself(broken: object, reason: str, remedy: str) -> None:
    catalogue = discover([broken, plugin(extractor("fine"))])
    [problem] = catalogue.problems
    assert problem.reason == reason
    assert problem.remedy.startswith(remedy)
    assert catalogue.find(ExtractorSpec, "fine@extra")


def test_one_bad_item_leaves_the_other_specs_of_a_module() -> None:
    specs = [extractor("first"), ExtractorSpec, {"name": "x"}, extractor("first"), extractor("second")]
    catalogue = discover([hooked("mer_specs", lambda: specs)])
    assert [e.spec.name for e in catalogue.entries if e.distribution == "extra"] == ["first", "second"]
    assert [p.reason for p in catalogue.problems] == [
        "mer_specs returned the class ExtractorSpec in its list.",
        "mer_specs returned one dict in its list.",
        "it offers the extractor 'first' twice (entry points '0' and '0').",
    ]


def test_a_misspelt_event_leaves_the_specs() -> None:
    class Both:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            return [extractor("fine")]

        @hookimpl
        def mer_run_finish(self) -> None: ...

        @hookimpl(optionalhook=True)
        def mer_of_another_version(self) -> None: ...

    catalogue = discover([Both()])
    assert catalogue.find(ExtractorSpec, "fine")
    assert [p.remedy for p in catalogue.problems] == ["Did you mean 'mer_run_finished'?"]


def test_ctrl_c_is_no_problem_of_a_plugin() -> None:
    with pytest.raises(KeyboardInterrupt):
        discover([hooked("mer_specs", raises(KeyboardInterrupt()))])


def test_what_a_plugin_prints_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def loud() -> list[PluginSpec]:
        print("hello")
        return []

    discover([hooked("mer_specs", loud)])
    assert capsys.readouterr() == ("", "hello\n")


def test_a_slow_import_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([0.0, 0.01, 10.0, 11.54])
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    monkeypatch.setattr(registry, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    told = [source.slow for source in discover([plugin(), plugin()]).sources]
    assert told == ["", "slow: importing Plugin took 1.5 s; import heavy packages inside the class"]


def test_an_entry_point_that_raises_on_import_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def point(name: str, load: Callable[[], object]) -> SimpleNamespace:
        return SimpleNamespace(name=name, value=f"{name}.specs", dist=SimpleNamespace(name=f"dist-{name}"), load=load)

    def bad() -> object:
        raise ValueError("no luck")

    points = [point("bad", bad), point("good", lambda: plugin(extractor("good-one")))]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    catalogue = discover()
    assert [(p.distribution, p.reason) for p in catalogue.problems] == [
        ("dist-bad", "importing bad.specs raised ValueError: no luck")
    ]
    assert catalogue.find(ExtractorSpec, "good-one")
    with pytest.raises(PluginError, match="no luck"):
        catalogue.find(DatasetSpec, "bad")
    with pytest.raises(PluginError, match=r"'other@dist-bad' could not be read: .*no luck"):
        catalogue.find(DatasetSpec, "other@dist-bad")


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (
            "has_two:NoSuchThing",
            PluginError,
            r"gone@extra: has_two has no 'NoSuchThing' \(it has One, Two\)\. Correct target= in the spec of 'gone'\.",
        ),
        ("no_such_module_here:Thing", PluginError, r"lacks this module: correct target= in the spec of 'gone'\."),
        (
            "has_two.inner:Thing",
            PluginError,
            r"has_two.inner.*lacks this module: correct target= in the spec of 'gone'",
        ),
        ("asks_for_more:Thing", PluginError, r"lacks this module: correct the import in .*asks_for_more\.py:1\."),
        (
            "collections:namedtuple",
            PluginError,
            r"is not a class\. Name a class: correct target= in the spec of 'gone'",
        ),
        ("needs_absent:Thing", MissingPackageError, r"No module named 'absent_thing'.*pip install absent_thing"),
        ("leaves:Thing", PluginError, r"raised SystemExit: 4"),
    ],
)
def test_target_errors_are_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, error: type[Exception], message: str
) -> None:
    (tmp_path / "needs_absent.py").write_text("import absent_thing\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(4)\n")
    (tmp_path / "has_two.py").write_text("from collections import Counter\nclass Two: ...\nclass One: ...\n")
    (tmp_path / "asks_for_more.py").write_text("import asks_for_more.parts\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    catalogue = discover([plugin(extractor("gone", target=target))])
    with pytest.raises(error, match=message):
        catalogue.load(ExtractorSpec, "gone")


def test_an_options_class_must_be_one() -> None:
    catalogue = discover([plugin(extractor("odd", options="collections:Counter"))])
    with pytest.raises(PluginError, match=r"no options class.*Derive it from mer_core\.plugin\.Options"):
        catalogue.options(ExtractorSpec, "odd", {})
    catalogue = discover([plugin(extractor("odd", options="collections:Opt"))])
    with pytest.raises(PluginError, match=r"has no 'Opt'.*Correct options= in the spec of 'odd'"):
        catalogue.options(ExtractorSpec, "odd", {})


def test_a_name_of_another_kind_is_told_so() -> None:
    with pytest.raises(PluginError, match="'attention' is a plugin of kind fusion, not extractor"):
        discover().find(ExtractorSpec, "attention")


def test_a_full_name_gets_the_close_full_name() -> None:
    catalogue = discover()
    with pytest.raises(PluginError, match=r"Did you mean 'acoustic@mer-toolkit'\? Else install mer-tools, which may"):
        catalogue.find(ExtractorSpec, "acoustic@mer-tools")
    with pytest.raises(PluginError, match=r"no extractor called 'cough@lungs'\. Install lungs, which may bring it\."):
        catalogue.find(ExtractorSpec, "cough@lungs")


def test_required_packages_are_looked_for_without_importing_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loud").mkdir()
    (tmp_path / "loud" / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (tmp_path / "loud" / "inner.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = extractor("x", requires=("loud", "loud.inner", "loud.other", "loud.inner.more", "absent"))
    entry = discover([plugin(spec)]).entry(ExtractorSpec, "x")
    assert entry.missing_packages() == ["loud.other", "loud.inner.more", "absent"]


def test_options_name_the_wrong_key_and_the_close_match() -> None:
    catalogue: Catalogue = discover()
    with pytest.raises(OptionError, match=r"acoustic.*no option 'n_mel' .did you mean 'n_mels'"):
        catalogue.options(ExtractorSpec, "acoustic", {"n_mel": 3})
