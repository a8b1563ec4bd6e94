"""Whose plugin a name means: installing a package never changes what another's run means."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mer_core import compose, fit, load_fit, open_workspace, predict, registry, run
from mer_core.config import read_config, write_config
from mer_core.configure import make_config
from mer_core.errors import MerError, PluginError, UsageError
from mer_core.names import readable
from mer_core.plugin import (
    DatasetSpec,
    Derived,
    DerivedInput,
    DeriverSpec,
    ExtractorSpec,
    Features,
    FusionSpec,
    NoOptions,
    Options,
    PluginSpec,
    PresetSpec,
    ProtocolSpec,
    Sample,
    TextInput,
    hookimpl,
)
from mer_core.registry import Catalogue, discover
from mer_core.workflows.data import find_source
from mer_core.workflows.overrides import override_options
from mer_plugins.fusion.concat import Concat


class WidthOptions(Options):
    """One number."""

    width: int = 2
    "Columns."


class Width:
    """Clip-level: the number of letters, ``width`` times."""

    def __init__(self, options: WidthOptions, device: str) -> None:
        self.dim = options.width

    def extract(self, batch: Sequence[Sample]) -> list[Features]:
        return [Features(np.full(self.dim, len(sample.text().content), np.float32)) for sample in batch]


class Letters:
    """Derives the codes of the text's letters."""

    def __init__(self, options: NoOptions, device: str) -> None: ...

    def derive(self, batch: Sequence[Sample]) -> list[Derived]:
        return [Derived({"codes": np.array([ord(c) for c in s.text().content], np.int64)}) for s in batch]


class Joined(Concat):
    """A fusion of somebody else's."""


class Verse:
    """A data set of one manifest."""

    def __init__(self, options: NoOptions) -> None: ...

    def prepare(self, folder: Path, progress: object = None) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        rows = [f"c{n},{'la ' * (n + 1)},{'happy' if n % 2 else 'sad'},p{n % 4}" for n in range(16)]
        (folder / "clips.csv").write_text("\n".join(["id,text,label,speaker", *rows]) + "\n", encoding="utf-8")
        return folder / "clips.csv"


WIDTH = ExtractorSpec(
    name="width", modality="text", target=f"{__name__}:Width", options=f"{__name__}:WidthOptions",
    inputs={"text": TextInput()}, level="clip", per_thread=True,
)  # fmt: skip
READER = ExtractorSpec(
    name="reader", modality="text", target=f"{__name__}:Width", inputs={"letters": DerivedInput("letters")}
)
SPELL = DeriverSpec(name="spell", produces="letters", target=f"{__name__}:Letters", inputs={"text": TextInput()})
JOINED = FusionSpec(name="joined", target=f"{__name__}:Joined", options="mer_plugins.fusion.options:ConcatOptions")
VERSE = DatasetSpec(name="verse", target=f"{__name__}:Verse")


def named(spec: PluginSpec, name: str) -> PluginSpec:
    """``spec`` under another name."""
    return replace(spec, name=name)


def plugin(*specs: PluginSpec) -> object:
    class Plugin:
        @hookimpl
        def mer_specs(self) -> list[PluginSpec]:
            return list(specs)

    return Plugin()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes what is passed, specs by distribution, seem installed beside mer."""
    shipped = list(registry.entry_points(group="mer.plugins"))
    shipped = [point for point in shipped if point.dist and point.dist.name == "mer-toolkit"]

    def point(distribution: str, specs: Sequence[PluginSpec]) -> SimpleNamespace:
        dist = SimpleNamespace(name=distribution)
        return SimpleNamespace(name="specs", value="specs", dist=dist, load=lambda: plugin(*specs))

    def install(packages: Mapping[str, Sequence[PluginSpec]]) -> Catalogue:
        points = [*shipped, *(point(distribution, specs) for distribution, specs in packages.items())]
        monkeypatch.setattr(registry, "entry_points", lambda group: points)
        return discover()

    return install


def names(catalogue: Catalogue, **settings: Any) -> tuple[list[str], str]:
    """Extractors and fusion of a run with ``settings``."""
    config = make_config(catalogue, modalities=["text"], **settings)
    return [choice.extractor for choice in config.streams.values()], config.fusion.name


def test_a_name_that_mer_has_stays_mers_own(tmp_path: Path, sample_cache: Path) -> None:
    """A default run beside a package with an ``attention``, an ``ngram`` and a ``sample`` of its own."""
    taken = plugin(named(JOINED, "attention"), named(WIDTH, "ngram"), named(VERSE, "sample"))
    space = open_workspace(sample_cache, plugins=[taken])
    assert make_config(space.catalogue) == make_config(discover())
    small = {"sample": {"clips": 48}, "cv": {"epochs": 1}}
    result = run("sample", modalities=["text"], options=small, out=tmp_path / "r", space=space)
    assert result.report.model.fusion == "attention"
    assert result.report.streams[0].extractor == "ngram@mer-toolkit"
    config = make_config(space.catalogue, modalities=["text"], fusion="attention@extra", trainer="cv@mer-toolkit")
    assert (config.fusion.name, config.trainer.name) == ("attention@extra", "cv")


def test_a_saved_run_says_whose_plugins_it_used(tmp_path: Path, install: Any) -> None:
    catalogue = install({"one": [WIDTH, JOINED, VERSE]})
    config = make_config(
        catalogue, data="verse", modalities=["text"], extractors={"text": "width"}, fusion="joined",
        options={"width": {"width": 3}, "joined": {"hidden": 8}},
    )  # fmt: skip
    assert list(config.streams) == ["text:width"]
    assert config.streams["text:width"].extractor == "width@one"
    assert (config.data.source, config.fusion.name, config.trainer.name) == ("verse@one", "joined@one", "cv")
    write_config(config, tmp_path / "config.toml")

    catalogue = install({"one": [WIDTH, JOINED, VERSE], "two": [WIDTH, JOINED, VERSE]})
    assert make_config(catalogue, file=tmp_path / "config.toml") == config
    same = make_config(catalogue, file=tmp_path / "config.toml", data="verse@one", fusion="joined@one")
    assert same == config
    with pytest.raises(PluginError, match="Say which: width@one or width@two"):
        make_config(catalogue, modalities=["text"], extractors={"text": "width"})
    other = make_config(catalogue, file=tmp_path / "config.toml", fusion="joined@two")
    assert other.fusion.options["hidden"] != 8


def test_a_file_of_before_has_bare_names_and_still_loads(tmp_path: Path, install: Any) -> None:
    catalogue = install({"one": [WIDTH, JOINED]})
    config = make_config(catalogue, modalities=["text"], extractors={"text": "width"}, fusion="joined", seed=3)
    file = tmp_path / "config.toml"
    write_config(config, file)
    file.write_text(file.read_text(encoding="utf-8").replace("@one", ""), encoding="utf-8")
    assert read_config(file)["fusion"]["name"] == "joined"
    assert make_config(catalogue, file=file) == config
    assert make_config(catalogue, file=file, fusion="joined") == config


def test_a_model_predicts_after_a_twin_was_installed(tmp_path: Path, install: Any) -> None:
    install({"one": [WIDTH, JOINED, VERSE]})
    chosen: dict[str, Any] = {"modalities": ["text"], "extractors": {"text": "width"}, "fusion": "joined"}
    result = run(
        "verse", **chosen, folds=2, trainer_options={"epochs": 1}, out=tmp_path / "r",
        space=open_workspace(tmp_path / "cache"),
    )  # fmt: skip
    assert (result.report.model.fusion, result.report.data.source) == ("joined@one", "verse@one")

    install({"one": [WIDTH, JOINED, VERSE], "two": [WIDTH, JOINED]})
    space = open_workspace(tmp_path / "cache")
    found = predict(tmp_path / "r" / "model", "verse", space=space, options={"width": {"width": 2}})
    assert (len(found.predictions), found.warnings) == (16, ())

    file = tmp_path / "r" / "model" / "pipeline.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["config"]["streams"]["text:width"]["extractor"] == "width@one"
    document["config"]["fusion"]["name"] = "joined"
    file.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(PluginError, match=r"pipeline\.json names the fusion 'joined', and there are joined@one and"):
        predict(tmp_path / "r" / "model", "verse", space=space)
    install({"one": [WIDTH, JOINED, VERSE]})
    assert predict(tmp_path / "r" / "model", "verse", space=open_workspace(tmp_path / "cache")).warnings == ()


def test_a_fit_over_arrays_names_its_fusion_in_full(tmp_path: Path) -> None:
    space = open_workspace(tmp_path / "cache", plugins=[plugin(JOINED)])
    features = compose({"text": np.eye(8)}, ["a", "b"] * 4)
    for owner in ("joined", "joined@extra"):
        done = fit(features, fusion="joined", options={owner: {"hidden": 4}, "cv": {"epochs": 1}}, folds=2, space=space)
        assert (done.config.fusion.name, done.config.fusion.options["hidden"]) == ("joined@extra", 4)
    done.save(tmp_path / "m")
    assert load_fit(tmp_path / "m", space=space).config.fusion.name == "joined@extra"


def test_what_was_no_package_yet_may_become_one(install: Any) -> None:
    catalogue = install({"one": [WIDTH]})
    assert catalogue.entry(ExtractorSpec, "width@extra").full_name == "width@one"
    with pytest.raises(PluginError, match="no fusion called 'attention@extra'"):
        catalogue.entry(FusionSpec, "attention@extra")


def test_names_in_a_preset_mean_its_own_package_first(install: Any) -> None:
    mine = PresetSpec(name="mine", extractors={"text": ("width", "ngram")}, fusion="joined")
    shadow = PresetSpec(name="lite", extractors={"text": ("ngram",)})
    catalogue = install({"one": [WIDTH, JOINED], "two": [WIDTH, JOINED, mine, shadow, named(WIDTH, "ngram")]})
    assert names(catalogue, preset="mine") == (["ngram@two", "width@two"], "joined@two")
    assert make_config(catalogue, preset="mine").preset == "mine@two"
    assert list(make_config(catalogue, preset="mine").streams) == ["text:ngram", "text:width"]
    assert names(catalogue) == (["ngram"], "attention")
    assert names(catalogue, preset="lite@two") == (["ngram@two"], "attention")


def test_a_protocol_is_the_same_by_either_name(tmp_path: Path, install: Any) -> None:
    spec = ProtocolSpec(name="mer2024", trainer_options={"epochs": 3})
    catalogue = install({"two": [spec]})
    shipped = make_config(catalogue, modalities=["text"], protocol="mer2024@mer-toolkit")
    assert (shipped.protocol, shipped.folds.kind) == ("mer2024", "shuffle")
    config = make_config(catalogue, modalities=["text"], protocol="mer2024@two")
    assert (config.protocol, config.trainer.options["epochs"]) == ("mer2024@two", 3)


def test_the_maker_nearest_to_the_reader_is_taken(install: Any) -> None:
    def maker(catalogue: Catalogue, **more: Any) -> str:
        config = make_config(catalogue, modalities=["text"], extractors={"text": "reader"}, **more)
        return config.derivers["letters"].name

    assert maker(install({"one": [READER], "two": [SPELL]})) == "spell@two"
    assert maker(install({"one": [READER, named(SPELL, "own")], "two": [SPELL]})) == "own@one"
    catalogue = install({"one": [READER], "two": [SPELL], "three": [SPELL]})
    with pytest.raises(UsageError, match=r"spell@three, spell@two make.*--deriver letters=spell@three"):
        maker(catalogue)
    assert maker(catalogue, derivers={"letters": "spell@two"}) == "spell@two"


def test_options_go_by_bare_and_full_name(install: Any) -> None:
    catalogue = install({"one": [WIDTH], "two": [WIDTH, named(WIDTH, "ngram")]})

    def widths(extractors: str, *options: str) -> dict[str, int]:
        chosen = dict(part.split("=") for part in extractors.split())
        config = make_config(catalogue, modalities=["text"], extractors=chosen, options=options)
        return {name: choice.options["width"] for name, choice in config.streams.items() if "width" in choice.options}

    assert widths("text=width@one", "width.width=5") == {"text:width": 5}
    assert widths("text=width@one", "width.width=5", "width@one.width=6") == {"text:width": 6}
    both = "text:a=width@one text:b=width@two"
    assert widths(both, "width@one.width=5", "text:b.width=7") == {"text:a": 5, "text:b": 7}
    with pytest.raises(UsageError, match=r"'width' is width@one and width@two here.*-o width@one\.KEY=VALUE"):
        widths(both, "width.width=5")
    assert widths("text:a=ngram text:b=ngram@two", "ngram.dim=64") == {"text:b": 2}
    with pytest.raises(UsageError, match="'width@two' takes no part in this run"):
        widths("text=width@one", "width@two.width=5")
    with pytest.raises(UsageError, match="width@one and width@two would both be the stream text:width"):
        widths("text=width@one,width@two")


def test_options_at_prediction_go_by_both_names(install: Any) -> None:
    catalogue = install({"one": [WIDTH]})
    config = make_config(catalogue, modalities=["text"], extractors={"text": "width"})
    for owner in ("width", "width@one", "text:width"):
        changed = override_options(config, {owner: {"width": 4}}, catalogue)
        assert changed.streams["text:width"].options["width"] == 4
    with pytest.raises(UsageError, match="'width@two' takes no part in this model"):
        override_options(config, {"width@two": {"width": 4}}, catalogue)


def test_data_sets_of_one_name_have_folders_of_their_own(tmp_path: Path, install: Any) -> None:
    catalogue = install({"one": [VERSE], "two": [VERSE]})
    space = open_workspace(tmp_path / "cache")
    folders = {find_source(make_config(catalogue, data=f"verse@{who}").data, space) for who in ("one", "two")}
    assert len(folders) == 2
    with pytest.raises(MerError, match="verse@one or verse@two"):
        find_source(make_config(catalogue, data="verse").data, space)


def test_readable_names() -> None:
    assert [readable(name) for name in ("cv", "my-x@my_x", "x@one", "a/b@c.csv")] == [
        "cv",
        "my-x",
        "x@one",
        "a/b@c.csv",
    ]
