"""Discovery, the catalogue and its errors, with plugin objects made here."""

from __future__ import annotations

from collections.abc import Callable
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


def test_two_of_one_name_are_listed_and_the_bare_name_is_refused() -> None:
    catalogue = discover([plugin(extractor("acoustic"))])
    assert len([e for e in catalogue.of_kind(ExtractorSpec) if e.spec.name == "acoustic"]) == 2
    with pytest.raises(PluginError, match="acoustic@extra or acoustic@mer-toolkit"):
        catalogue.find(ExtractorSpec, "acoustic")
    assert catalogue.find(ExtractorSpec, "acoustic@extra").target == "collections:OrderedDict"


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


def test_a_hook_that_raises_breaks_only_itself() -> None:
    class Broken:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            raise RuntimeError("boom")

    catalogue = discover([Broken(), plugin(extractor("fine"))])
    assert [p.reason for p in catalogue.problems] == ["RuntimeError: boom"]
    assert catalogue.find(ExtractorSpec, "fine")


def test_a_misspelt_hook_is_named() -> None:
    class Misspelt:
        @hookimpl
        def mer_spec(self) -> list[PluginSpec]:
            return []

    catalogue = discover([Misspelt(), plugin(extractor("fine"))])
    assert "mer_spec" in catalogue.problems[0].reason
    assert catalogue.find(ExtractorSpec, "fine")


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


def test_target_errors_are_explained() -> None:
    catalogue = discover([plugin(extractor("gone", target="collections:NoSuchThing"))])
    with pytest.raises(PluginError, match=r"gone@extra.*NoSuchThing"):
        catalogue.load(ExtractorSpec, "gone")


def test_options_name_the_wrong_key_and_the_close_match() -> None:
    catalogue: Catalogue = discover()
    with pytest.raises(OptionError, match=r"acoustic.*no option 'n_mel' .did you mean 'n_mels'"):
        catalogue.options(ExtractorSpec, "acoustic", {"n_mel": 3})
