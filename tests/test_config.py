"""Where flags, file, preset, protocol and defaults meet."""

from __future__ import annotations

from pathlib import Path

import pytest

from mer_core.cli.flags import configure
from mer_core.config import read_config, validate_config, write_config
from mer_core.configure import make_config
from mer_core.errors import DataError, OptionError, PluginError, UsageError
from mer_core.options import Options, describe, parse_pairs
from mer_core.plugin import hookimpl
from mer_core.registry import Catalogue, discover
from mer_core.spec import PluginSpec, TrainerSpec


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return discover()


def test_defaults_are_the_lite_preset_on_the_sample(catalogue: Catalogue) -> None:
    config = make_config(catalogue)
    assert list(config.streams) == ["speech:acoustic", "text:ngram", "image:hog", "video:motion"]
    assert config.data.source == "sample"
    assert (config.fusion.name, config.trainer.name, config.folds.k) == ("attention", "cv", 5)
    assert config.modalities == ("speech", "text", "image", "video")


def test_modalities_choose_and_keep_the_saved_order(catalogue: Catalogue) -> None:
    config = make_config(catalogue, modalities=["video", "speech"])
    assert list(config.streams) == ["speech:acoustic", "video:motion"]


def test_saved_config_gives_the_same_config_again(catalogue: Catalogue, tmp_path: Path) -> None:
    config = make_config(
        catalogue, data="x.csv", columns={"label": "emotion"}, modalities=["speech"], folds="loo", seed=7,
        options=["acoustic.n_mels=32", "acoustic.activity_db=null"], protocol="mer2024",
    )  # fmt: skip
    write_config(config, tmp_path / "config.toml")
    assert make_config(catalogue, file=tmp_path / "config.toml") == config
    assert validate_config(read_config(tmp_path / "config.toml")) == config


def test_flags_win_over_the_file_and_the_file_over_the_preset(catalogue: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('seed = 3\n[folds]\nk = 4\n[trainer]\nname = "cv"\noptions = {epochs = 9}\n', encoding="utf-8")
    config = make_config(catalogue, file=file, seed=5)
    assert (config.seed, config.folds.k, config.trainer.options["epochs"]) == (5, 4, 9)
    assert make_config(catalogue, file=file, trainer_options={"epochs": 2}).trainer.options["epochs"] == 2


def test_protocol_sets_the_papers_settings(catalogue: Catalogue) -> None:
    config = make_config(catalogue, protocol="mer2024")
    chosen = {key: config.trainer.options[key] for key in ("epochs", "batch_size", "lr", "standardise", "select")}
    assert chosen == {"epochs": 30, "batch_size": 64, "lr": 3e-4, "standardise": False, "select": "val"}
    assert config.fusion.options["absent"] == "zero"
    assert config.folds.kind == "shuffle"
    assert make_config(catalogue, protocol="mer2024", group="speaker").folds.kind == "grouped"


def test_a_protocol_asked_for_wins_over_the_file(catalogue: Catalogue, tmp_path: Path) -> None:
    file, paper = tmp_path / "own.toml", tmp_path / "paper.toml"
    write_config(make_config(catalogue, modalities=["speech"], seed=7), file)
    config = make_config(catalogue, file=file, protocol="mer2024")
    assert config == make_config(catalogue, modalities=["speech"], seed=7, protocol="mer2024")
    write_config(config, paper)
    assert make_config(catalogue, file=paper, protocol="") == make_config(catalogue, file=file)


def test_options_in_a_file_that_no_protocol_decides_are_kept(catalogue: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("[trainer]\noptions = {epochs = 9, inner_fraction = 0.2}\n", encoding="utf-8")
    options = make_config(catalogue, file=file, protocol="mer2024").trainer.options
    assert (options["epochs"], options["inner_fraction"]) == (30, 0.2)
    file.write_text('protocol = "mer2024"\n[trainer]\noptions = {epochs = 9}\n', encoding="utf-8")
    assert make_config(catalogue, file=file).trainer.options["epochs"] == 9


def test_extractor_flag_replaces_and_aliases(catalogue: Catalogue) -> None:
    config = make_config(
        catalogue,
        modalities=["speech"],
        extractors={"speech:quiet": "acoustic"},
        options={"speech:quiet": {"n_mels": 20}},
    )
    assert list(config.streams) == ["speech:quiet"]
    assert config.streams["speech:quiet"].options["n_mels"] == 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modalities": ["smell"]}, "no extractor for the modality 'smell'"),
        ({"modalities": ["text"], "extractors": {"speech": "acoustic"}}, "Add speech to --modalities"),
        ({"extractors": {"text": "acoustic"}}, "acoustic is an extractor of speech"),
        ({"options": ["hubert.x=1"], "modalities": ["text"]}, "'hubert' takes no part"),
        ({"options": ["acoustic=1"]}, "OWNER.KEY=VALUE"),
        ({"folds": "many"}, "folds.k"),
        ({"pooling": "max"}, "pooling"),
        ({"trainer_options": {"select": "val"}}, "choose the epoch on the very clips that are scored"),
    ],
)
def test_wrong_settings_say_what_to_write(catalogue: Catalogue, settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make_config(catalogue, **settings)  # type: ignore[arg-type]


def test_wrong_plugins_and_options_are_named(catalogue: Catalogue) -> None:
    with pytest.raises(PluginError, match="no preset called 'light'"):
        make_config(catalogue, preset="light")
    with pytest.raises(OptionError, match="cv: no option 'epoch'"):
        make_config(catalogue, trainer_options={"epoch": 3})
    with pytest.raises(OptionError, match="attention: no option 'epochs'"):
        make_config(catalogue, fusion_options={"epochs": 3})


def test_options_of_the_fusion_win_over_a_protocol_and_options_by_plugin_over_them(catalogue: Catalogue) -> None:
    found = make_config(
        catalogue, protocol="mer2024",
        fusion_options={"absent": "mask", "hidden": 32}, options={"attention": {"hidden": 16}},
    ).fusion.options  # fmt: skip
    assert (found["absent"], found["hidden"]) == ("mask", 16)


class Bare:
    """Specs of a trainer without options."""

    @staticmethod
    @hookimpl
    def mer_specs() -> list[PluginSpec]:
        return [TrainerSpec(name="bare", target="nowhere:Trainer")]


@pytest.mark.parametrize(("flag", "value"), [("--epochs", 3), ("--modality-dropout", 0.1), ("--select", "last")])
def test_a_flag_for_an_option_that_the_trainer_lacks_is_named(flag: str, value: object) -> None:
    key = flag[2:].replace("-", "_")
    said = rf"^{flag}: the trainer bare\S* has no option '{key}'\. See 'mer plugins show bare\S*'\.$"
    asked = {key: value}
    flags = dict.fromkeys(("column", "label", "modalities", "extractor", "deriver", "option"))
    catalogue = discover([Bare()])
    with pytest.raises(UsageError, match=said):
        configure(catalogue, **flags, trainer="bare", trainer_options=asked)
    with pytest.raises(OptionError, match="cv: option epochs"):
        configure(catalogue, **flags, trainer_options={"epochs": 0})
    with pytest.raises(OptionError, match="attention: no option 'hiden'"):
        configure(catalogue, **{**flags, "option": ["attention.hiden=1"]}, trainer="bare", trainer_options=asked)


def test_defaults_are_shown_in_their_own_letters() -> None:
    class Marks(Options):
        marks: str = ".。！"

    assert describe(Marks) == [("marks", "str", '".。！"', "")]


def test_wrong_files_are_named(catalogue: Catalogue, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no config file"):
        make_config(catalogue, file=tmp_path / "absent.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("seed = = 3", encoding="utf-8")
    with pytest.raises(DataError, match="not TOML"):
        make_config(catalogue, file=bad)
    bad.write_text("sed = 3", encoding="utf-8")
    with pytest.raises(DataError, match="unknown key 'sed'"):
        make_config(catalogue, file=bad)


def test_pairs_keep_dots_of_stream_names_and_read_json() -> None:
    found = parse_pairs(["speech:a.n=80", "x.y.flag=true", "x.y.name=abc"])
    assert found == {"speech:a": {"n": 80}, "x.y": {"flag": True, "name": "abc"}}
