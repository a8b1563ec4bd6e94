"""``mer plugins new``: what it writes installs, passes its own tests, and is good code; what it refuses."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import pytest
from installed import Environment, make_environment

from mer_core.cli.app import run_app
from mer_core.errors import UsageError
from mer_core.scaffold import commands, render_package, write_package
from mer_core.scaffold.kinds import KINDS
from mer_core.scaffold.names import PATTERN, class_name, module_name, suggestion
from mer_core.spec import check_spec

ROOT = Path(__file__).parent.parent
SORTS = {
    "-".join(filter(None, ("my", kind.replace("extractor", ""), modality))): (kind, modality)
    for kind, modality in KINDS
}
ALL = [pytest.param(*sort, id=name.removeprefix("my-")) for name, sort in SORTS.items()]
LATE = {"valence-trainer": ("trainer", ""), "my-rather-long-valence-arousal": ("trainer", "")}
"""Names whose classes are imported in another order, and in more lines, than those of ``my-trainer``."""

MYPY = """\
[mypy]
strict = true
disallow_subclassing_any = false
disallow_untyped_decorators = false
warn_return_any = false
[mypy-mer_core.*]
follow_imports = silent
[mypy-torch.*]
follow_imports = skip
"""
"""Strict, but without torch: to read its types would take longer than all the rest."""


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One package of each sort, by name."""
    home = tmp_path_factory.mktemp("packages")
    return {name: write_package(name, kind, home / name, modality or None) for name, (kind, modality) in SORTS.items()}


@pytest.fixture(scope="session")
def environment(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Where all of them are installed."""
    made = make_environment(tmp_path_factory.mktemp("scaffold") / "env", HF_HUB_OFFLINE="1")
    made.install(*packages.values())
    return made


@pytest.mark.parametrize(("kind", "modality"), ALL)
def test_a_package_is_complete(kind: str, modality: str) -> None:
    found = render_package("my-thing", kind, modality or None)
    own = {"__init__.py", "py.typed", f"{kind}.py", *_more(kind)}
    outside = {"pyproject.toml", "README.md", "LICENSE", ".gitignore", "tests/test_my_thing.py"}
    assert set(found) == outside | {f"my_thing/{name}" for name in own}
    project = tomllib.loads(found["pyproject.toml"])
    assert project["project"]["name"] == "my-thing"
    assert project["project"]["entry-points"]["mer.plugins"] == {
        "my-thing": "my_thing.listener" if kind == "listener" else "my_thing.specs"
    }
    assert project["project"]["dependencies"][0].startswith("mer-toolkit")
    assert "$" not in "".join(text for path, text in found.items() if path != "README.md")
    assert "Apache License" in found["LICENSE"]
    assert all(text.endswith("\n") for path, text in found.items() if path != "my_thing/py.typed")
    assert "A extractor" not in "".join(found.values())


def _more(kind: str) -> list[str]:
    specs = ["specs.py", "options.py"] if kind != "listener" else []
    return [*specs, "model.py"] if kind == "trainer" else specs


@pytest.mark.parametrize(("kind", "modality"), [sort for sort in ALL if sort.values[0] != "listener"])
def test_its_spec_is_right_and_light(kind: str, modality: str) -> None:
    found = render_package("my-thing", kind, modality or None)
    scope: dict[str, object] = {"__name__": "my_thing.specs"}
    exec(compile(found["my_thing/specs.py"], "specs.py", "exec"), scope)
    (spec,) = scope["mer_specs"]()  # type: ignore[operator]
    check_spec(spec)
    assert (spec.kind, spec.name) == (kind, "my-thing")
    if kind == "extractor":
        assert spec.modality == modality
    if kind == "deriver":
        assert list(spec.inputs) == [{"speech": "audio"}.get(modality, modality)]
    for reference in (spec.target, spec.options):
        module, _, wanted = reference.partition(":")
        tree = ast.parse(found[module.replace(".", "/") + ".py"])
        assert wanted in [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def test_what_a_package_imports_is_among_its_dependencies() -> None:
    for kind, modality in KINDS:
        found = render_package("my-thing", kind, modality or None)
        wanted = tomllib.loads(found["pyproject.toml"])["project"]["dependencies"]
        modules = {
            name.split(".")[0] for path in found if path.startswith("my_thing/") for name in _imports(found[path])
        }
        third = modules - set(sys.stdlib_module_names) - {"my_thing", "mer_core"}
        assert sorted(third) == sorted(wanted[1:])


def _imports(text: str) -> list[str]:
    nodes = list(ast.walk(ast.parse(text)))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)]


def test_installed_packages_pass_their_own_tests(packages: dict[str, Path], environment: Environment) -> None:
    results = environment.work / "results.xml"
    arguments = ["-q", "-p", "no:cacheprovider", f"--junit-xml={results}", *map(str, packages.values())]
    done = environment.python("import pytest, sys; sys.exit(pytest.main(sys.argv[1:]))", *arguments)
    assert done.returncode == 0, done.stdout
    cases = [case for case in ElementTree.parse(results).iter("testcase") if not list(case)]
    passed = [(case.get("classname", "").rpartition(".")[2], case.get("name", "")) for case in cases]
    for name in packages:
        own = [test for module, test in passed if module == f"test_{module_name(name)}"]
        assert {"test_contract[light-import]", f"test_contract[{_second(name)}]"} <= set(own), name
        assert [test for test in own if not test.startswith("test_contract")], name


def _second(name: str) -> str:
    return "hooks" if name == "my-listener" else "options"


def test_installed_packages_are_ready(environment: Environment) -> None:
    rows = json.loads(environment.mer("plugins", "list", "--json").stdout)["plugins"]
    ready = {row["name"]: row["kind"] for row in rows if row["status"] == "ready"}
    assert {name: ready.get(name) for name in SORTS} == {name: kind for name, (kind, _) in SORTS.items()}


@pytest.mark.skipif(not find_spec("ruff"), reason="ruff is not installed")
def test_ruff_finds_nothing(packages: dict[str, Path], tmp_path: Path) -> None:
    late = [write_package(name, kind, tmp_path / name) for name, (kind, _) in LATE.items()]
    imports = ["check", "--select", "I", "--no-cache", *map(str, late)]
    done = subprocess.run([sys.executable, "-m", "ruff", *imports], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    rules = ["--extend-select", "E,F,W,I,B,UP,SIM,C4,RUF,PT,PIE,RET"]
    for arguments in (["check", *rules], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", *map(str, packages.values())]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.skipif(not find_spec("mypy"), reason="mypy is not installed")
def test_mypy_strict_finds_nothing(packages: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(MYPY)
    folders = [str(folder / part) for name, folder in packages.items() for part in (module_name(name), "tests")]
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "--cache-dir", "cache", *folders]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_wheel_of_mer_has_the_templates() -> None:
    wheel = pytest.importorskip("hatchling.builders.wheel")
    shipped = {file.distribution_path for file in wheel.WheelBuilder(str(ROOT)).recurse_included_files()}
    templates = [path for path in (ROOT / "mer_core/scaffold/templates").rglob("*") if path.is_file()]
    assert len(templates) > 30
    assert {path.relative_to(ROOT).as_posix() for path in templates} <= shipped


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My_Speech", "For example 'my-speech'"),
        ("mySpeech2", "For example 'my-speech2'"),
        ("2cool", "For example 'my-2cool'"),
        ("-", "For example 'my-plugin'"),
        ("naïve", "For example 'naive'"),
        ("ends-", "For example 'ends'"),
        ("", "For example 'my-plugin'"),
        ("class", "Try 'my-class'"),
        ("json", "standard library"),
        ("numpy", "installed already"),
        ("mer-core", "installed already"),
        ("tests", "for its tests"),
    ],
)
def test_impossible_names_are_refused_with_a_better_one(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        write_package(name, "extractor", tmp_path / "new")
    assert said in str(caught.value)
    assert not (tmp_path / "new").exists()
    assert PATTERN.fullmatch(suggestion(name))


def test_kinds_and_modalities_that_there_are_not() -> None:
    with pytest.raises(UsageError, match="Did you mean 'extractor'"):
        render_package("my-x", "extracter")
    with pytest.raises(UsageError, match="no package can be written for the kind 'preset'"):
        render_package("my-x", "preset")
    with pytest.raises(UsageError, match="a fusion has no modality"):
        render_package("my-x", "fusion", "speech")
    with pytest.raises(UsageError, match=r"no deriver can be written for the modality 'video'.*There are speech, text"):
        render_package("my-x", "deriver", "video")
    with pytest.raises(UsageError, match="Did you mean 'speech'"):
        render_package("my-x", "extractor", "speach")


def test_the_modality_is_guessed_from_the_name() -> None:
    guessed = {name: render_package(name, "extractor") for name in ("my-text", "video-2", "anything")}
    words = ("modality=", "text", "video", "speech")
    found = [
        next(w for w in words[1:] if f'{words[0]}"{w}"' in files[f"{module_name(n)}/specs.py"])
        for n, files in guessed.items()
    ]
    assert found == ["text", "video", "speech"]
    assert "TextInput" in render_package("my-text", "deriver")["my_text/specs.py"]
    assert "AudioInput" in render_package("my-x", "deriver")["my_x/specs.py"]


def test_nothing_is_ever_overwritten(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UsageError, match="choose another folder"):
        write_package("my-x", "fusion", tmp_path)
    with pytest.raises(UsageError, match="exists already"):
        write_package("my-x", "fusion", tmp_path / "note.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]
    (tmp_path / "empty").mkdir()
    assert (write_package("my-x", "fusion", tmp_path / "empty") / "my_x" / "fusion.py").is_file()


@pytest.mark.parametrize(("kind", "modality"), ALL)
def test_no_class_takes_a_name_that_its_module_uses(kind: str, modality: str) -> None:
    found = render_package("my-thing", kind, modality or None)
    for path in (path for path in found if path.endswith(".py")):
        for name in (name for name in _names(found[path]) if not name.startswith("MyThing")):
            assert class_name(suggestion(name), kind) != name, f"{name} in {path}"


def _names(text: str) -> set[str]:
    nodes = list(ast.walk(ast.parse(text)))
    bound = {
        alias.asname or alias.name for n in nodes if isinstance(n, ast.Import | ast.ImportFrom) for alias in n.names
    }
    return bound | {node.id for node in nodes if isinstance(node, ast.Name)}


def test_any_printable_author_is_written_as_toml() -> None:
    found = render_package("my-x", "fusion", author='Ann "A." \\ 王')
    assert tomllib.loads(found["pyproject.toml"])["project"]["authors"] == [{"name": 'Ann "A." \\ 王'}]
    with pytest.raises(UsageError, match="author"):
        render_package("my-x", "fusion", author="a\x7f")


def test_the_commands_to_go_on_with_suit_the_kind() -> None:
    last = {name: commands(name, kind, Path(name), modality or None)[-1] for name, (kind, modality) in SORTS.items()}
    assert last["my-speech"] == "mer run --extractor speech=my-speech --modalities speech,text"
    assert last["my-fusion"] == "mer run --fusion my-fusion"
    assert last["my-trainer"] == "mer run --trainer my-trainer"
    assert last["my-dataset"].startswith("mer run --data my-dataset --modalities")
    assert last["my-deriver-text"] == "mer plugins check my-deriver-text"
    assert last["my-listener"] == "mer run --modalities speech,text"
    assert 'DerivedInput("my-deriver")' in render_package("my-deriver", "deriver")["README.md"]
    assert commands("my-x", "fusion", Path("a b"))[:2] == ["pip install -e 'a b[test]'", "pytest 'a b'"]


def test_the_command_shows_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_app(["plugins", "new", "my-speech"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("my-speech/\n  .gitignore\n")
    assert "\n  my_speech/\n    __init__.py\n" in shown
    assert "  pip install -e 'my-speech[test]'\n" in shown
    assert (tmp_path / "my-speech" / "my_speech" / "extractor.py").is_file()


def test_after_a_deriver_comes_what_a_reader_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plugins", "new", "my-words", "--kind", "deriver", "--modality", "text"]
    assert run_app([*arguments, "--out", str(tmp_path / "x")]) == 0
    shown = capsys.readouterr().out
    lines = ['inputs={"sentences": DerivedInput("my-words")}', 'sample.derived("sentences")']
    assert [line.split("  (")[0].strip() for line in shown.splitlines()[-2:]] == lines
    assert run_app([*arguments, "--out", str(tmp_path / "y"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reader"] == lines


def test_the_command_answers_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plugins", "new", "my-mix", "--kind", "fusion", "--out", str(tmp_path / "x"), "--json"]
    assert run_app(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["folder"] == str(tmp_path / "x")
    assert document["modality"] is None
    assert sorted(document["files"]) == document["files"]
    assert all((tmp_path / "x" / file).is_file() for file in document["files"])
    assert document["next"][-1] == "mer run --fusion my-mix"
    assert document["reader"] == []
    assert run_app(arguments) == 2
    assert "exists already" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_the_name_of_an_installed_plugin_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(["plugins", "new", "acoustic", "--out", str(tmp_path / "x"), "--json"]) == 2
    error = json.loads(capsys.readouterr().out)["error"]
    assert "mer-toolkit has an extractor called 'acoustic'" in error["message"]
    assert "'my-acoustic'" in error["hint"]
    assert not (tmp_path / "x").exists()
