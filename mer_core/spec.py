"""What a plugin declares about itself, readable without importing the plugin.

A spec is plain data: names, strings, numbers. The module that lists specs must import in
milliseconds (no torch, no numpy); the implementation is named as ``"package.module:Class"`` and
imported only when it is used.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from typing import Any, ClassVar

from mer_core.errors import PluginError
from mer_core.inputs import Input

API_VERSION = 1
"""Version of the plugin contract. A spec written for another version is listed, never loaded."""

KINDS = ("extractor", "deriver", "fusion", "trainer", "dataset", "preset", "protocol", "listener")
"""Every kind of plugin, in the order in which they are listed."""

NAME_PATTERN = re.compile(r"[a-z][a-z0-9-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Published weights that a plugin can load: what ``mer weights`` lists, fetches and verifies.

    Args:
        name: what options call them, e.g. ``chinese-hubert-large``.
        repo: hub id, ``owner/name``.
        revision: commit, tag or branch.
        files: the files that are needed, safetensors where there is a choice.
        bytes: size of those files, 0 if unknown.
        licence: of the weights.
        dim: feature columns that they give with default options, 0 if unknown.
        parameters: number of parameters that are loaded, 0 if unknown.
    """

    name: str
    repo: str
    revision: str = "main"
    files: tuple[str, ...] = ()
    bytes: int = 0
    licence: str = ""
    dim: int = 0
    parameters: int = 0


@dataclass(frozen=True, kw_only=True)
class PluginSpec:
    """The part that every kind of plugin declares.

    Args:
        name: ``[a-z][a-z0-9-]*``, unique within its kind.
        target: ``"package.module:Class"`` of the implementation.
        summary: one line for ``mer plugins list``.
        options: ``"package.module:OptionsClass"`` (a :class:`mer_core.options.Options`), or empty.
        version: raise it whenever the plugin's *outputs* change; cached results then expire.
        requires: import names that must be installed, e.g. ``("onnxruntime",)``.
        install: the exact command that installs what is missing.
        needs: what else it wants, beside packages, labels and weights, in a word or two each: ``("a server",)``.
        licence: licence of the code, where it is not the distribution's.
        weights_licence: licence of the weights it loads, empty if it has none.
        weights: the published weights among which its option ``model`` chooses, the default first.
        api: the contract version the plugin was written for.
    """

    kind: ClassVar[str] = "plugin"

    name: str
    target: str
    summary: str = ""
    options: str = ""
    version: str = "1"
    requires: tuple[str, ...] = ()
    install: str = ""
    needs: tuple[str, ...] = ()
    licence: str = ""
    weights_licence: str = ""
    weights: tuple[Weights, ...] = ()
    api: int = API_VERSION


@dataclass(frozen=True, kw_only=True)
class ExtractorSpec(PluginSpec):
    """An extractor: decoded inputs of one modality in, features out.

    Args:
        modality: speech, image, video, text, or a name of your own.
        inputs: what to decode for it, by the name under which it arrives. An options class may
            compute them from its fields by defining ``inputs(self) -> dict[str, Input]``.
        level: ``frame`` where features have a time axis, else ``clip``.
        per_thread: cheap on a CPU and without shared state: the engine builds one instance per
            worker thread and calls it right after decoding, with batches of one.
        batch_seconds: for other extractors, how many seconds of input go into one batch.
        supervised: implements :class:`mer_core.protocols.SupervisedExtractor`.
    """

    kind: ClassVar[str] = "extractor"

    modality: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    level: str = "frame"
    per_thread: bool = False
    batch_seconds: float = 120.0
    supervised: bool = False


@dataclass(frozen=True, kw_only=True)
class DeriverSpec(PluginSpec):
    """A deriver: makes a stored artefact that extractors read as an input.

    ``produces`` is the name of the artefact, e.g. ``faces`` or ``ranking``.
    """

    kind: ClassVar[str] = "deriver"

    produces: str
    inputs: Mapping[str, Input] = field(default_factory=dict)
    per_thread: bool = False


@dataclass(frozen=True, kw_only=True)
class FusionSpec(PluginSpec):
    """A fusion. ``stackable``: its graph works under ``torch.func.vmap``, so folds train at once.

    ``search``: what ``mer tune`` draws its options from, unless it is told otherwise.
    """

    kind: ClassVar[str] = "fusion"

    stackable: bool = False
    levels: tuple[str, ...] = ("clip",)
    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainerSpec(PluginSpec):
    """A trainer: fits a fusion over folds and returns a model. ``search`` as for a fusion."""

    kind: ClassVar[str] = "trainer"

    search: Mapping[str, Sequence[Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DatasetSpec(PluginSpec):
    """A data set known by name: ``prepare(folder, options)`` makes or finds its manifest."""

    kind: ClassVar[str] = "dataset"


@dataclass(frozen=True, kw_only=True)
class PresetSpec(PluginSpec):
    """A named choice of plugins: what ``--preset NAME`` stands for.

    ``extractors`` maps a modality to the names of its extractors, ``extractor_options`` such a name to the
    options that the preset gives it, ``trainer_options`` those of the trainer. A preset called ``NAME-LANGUAGE``
    is also chosen by ``--preset NAME --language LANGUAGE``.
    """

    kind: ClassVar[str] = "preset"

    target: str = ""
    extractors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    derivers: Mapping[str, str] = field(default_factory=dict)
    fusion: str = "attention"
    trainer: str = "cv"
    pooling: str = "mean_std"
    extractor_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    trainer_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ProtocolSpec(PluginSpec):
    """A published experimental protocol: what ``--protocol NAME`` sets.

    Args:
        folds: ``grouped`` (stratified, a speaker stays together) or ``shuffle`` (plain and seeded).
        trainer_options: overrides of the trainer's defaults.
        fusion_options: overrides of the fusion's defaults.
    """

    kind: ClassVar[str] = "protocol"

    target: str = ""
    folds: str = "grouped"
    pooling: str = ""
    trainer_options: Mapping[str, Any] = field(default_factory=dict)
    fusion_options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ListenerSpec(PluginSpec):
    """A module with event hooks. It declares nothing: discovery makes this spec of the hooks that it finds.

    Args:
        name: the entry point's; of a plugin that is not installed, the module's or class's.
        hooks: the event hooks that will be called.
        faults: ``(reason, remedy)`` of each event hook that will not, as it is written.
    """

    kind: ClassVar[str] = "listener"

    target: str = ""
    version: str = ""
    hooks: tuple[str, ...] = ()
    faults: tuple[tuple[str, str], ...] = ()


def spec_class(kind: str) -> type[PluginSpec]:
    """The class of specs of a kind, one of ``KINDS``."""
    return next(cls for cls in PluginSpec.__subclasses__() if cls.kind == kind)


def check_spec(spec: PluginSpec) -> None:
    """Refuse a spec that could not be used.

    Raises:
        PluginError: naming the field that is wrong.
    """
    if spec.api != API_VERSION:
        newer = "update mer-toolkit, or " if spec.api > API_VERSION else ""
        raise PluginError(
            f"{spec.name} was written for plugin API {spec.api}; this mer has API {API_VERSION}.",
            f"To use it, {newer}install a version of the plugin made for API {API_VERSION}.",
        )
    if spec.kind not in KINDS:
        raise PluginError(
            f"{spec.name} is a {type(spec).__name__}, which is no kind of plugin.", "Use ExtractorSpec, say."
        )
    if not (isinstance(spec.name, str) and NAME_PATTERN.fullmatch(spec.name)):
        raise PluginError(f"plugin name {spec.name!r} is not of the form [a-z][a-z0-9-]*.", "Rename it.")
    _check_requires(spec)
    wanted = [spec.target] if spec.kind not in ("preset", "protocol") else []
    for reference in [*wanted, *filter(None, [spec.options])]:
        if reference.count(":") != 1:
            raise PluginError(
                f"{spec.name}: {reference!r} is not 'module:Class'.", "Write it as 'package.module:Class'."
            )


def _check_requires(spec: PluginSpec) -> None:
    given: dict[str, Any] = {"requires": spec.requires, "needs": spec.needs}
    for field_name, value in given.items():
        if isinstance(value, str):
            raise PluginError(f"{spec.name}: {field_name} is a text, not a tuple.", f"Write {field_name}=({value!r},).")
    for name in spec.requires:
        if not all(part.isidentifier() for part in name.split(".")):
            hint = "Import names go there, such as 'sklearn' for the package scikit-learn."
            raise PluginError(f"{spec.name}: requires has {name!r}, which cannot be imported.", hint)


def declared_inputs(spec: ExtractorSpec | DeriverSpec, options: Any) -> dict[str, Input]:
    """The inputs of a plugin under the given options (the options class may compute them)."""
    compute = getattr(options, "inputs", None)
    return dict(compute()) if callable(compute) else dict(spec.inputs)


def declared_level(spec: ExtractorSpec, options: Any) -> str:
    """The level of an extractor's features under the given options (the options class may compute it)."""
    compute = getattr(options, "feature_level", None)
    return str(compute()) if callable(compute) else spec.level


def plain(value: Any) -> Any:
    """``value`` as JSON-able data with a stable order."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__name__, **plain(asdict(value))}
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, Mapping):
        return {str(key): plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def digest(value: Any, length: int = 24) -> str:
    """Stable hexadecimal digest of JSON-able ``value``."""
    text = json.dumps(plain(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]
