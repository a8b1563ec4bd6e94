"""Checkpoints of CLIP in any published format, as models of open_clip. Nothing is downloaded, no code is run.

A folder of transformers' CLIPModel, a folder of open_clip, or a file of weights with the architecture's name.
OpenAI's weights were trained with a quick approximation of GELU; which one it is, the checkpoint or open_clip's
table of published weights says, and never a default.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mer_core.plugin import EnvironmentProblem, PluginError
from mer_core.weights import CONFIG, LAYOUTS, Located, refetch
from mer_plugins.architecture import EXTRACTORS
from mer_plugins.damage import refuse_damaged, refuse_nan
from mer_plugins.image.clip_options import OPEN_CLIP_CONFIG

if TYPE_CHECKING:
    from torch import nn

    from mer_plugins.image.preprocess import Recipe
    from mer_plugins.image.tensors import State

OPEN_CLIP = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
"""Names of the weights in a folder of open_clip; older ones have a name of transformers."""

Layout = Literal["file", "open_clip", "transformers"]

NAMES = {"open_clip": (*OPEN_CLIP, *LAYOUTS), "transformers": LAYOUTS}
"""The names of weights in a folder of each layout, the first one found is read."""

NO_TEXT = {"width": 64, "heads": 1, "layers": 1, "vocab_size": 8, "context_length": 4}
"""Stands for the text tower where only pictures are encoded."""


@dataclass(frozen=True, slots=True)
class ClipCheckpoint:
    """What was read: where, open_clip's arguments of the model, its weights, how pictures are prepared."""

    path: Path
    config: dict[str, Any]
    state: State
    preprocess: dict[str, Any] | None

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return int(self.config["embed_dim"])

    def tower(self) -> nn.Module:
        """The image tower, float32, in evaluation: [B, 3, h, w] to [B, dim].

        Raises:
            PluginError: the weights are not those of the architecture.
        """
        from open_clip.model import CLIP

        vision = {**self.config["vision_cfg"], "timm_model_pretrained": False, "output_tokens": False}
        quick = bool(self.config.get("quick_gelu"))
        model = CLIP(self.dim, vision_cfg=vision, text_cfg=NO_TEXT, quick_gelu=quick).visual
        inside = {name.removeprefix("visual."): value for name, value in self.state.items() if name[:7] == "visual."}
        return self._filled(model, inside)

    def model(self) -> nn.Module:
        """Both towers as open_clip's ``CLIP``, float32, in evaluation.

        Raises:
            PluginError: the text tower is of another kind, or the weights are not those of the architecture.
        """
        from open_clip.model import CLIP

        known = {"embed_dim", "quick_gelu", "vision_cfg", "text_cfg"}
        if {name for name, value in self.config.items() if value} - known or "hf_model_name" in self.config["text_cfg"]:
            raise PluginError(f"{self.path}: its text tower is not CLIP's own.", "Name other weights.")
        skipped = ("input_resolution", "context_length", "vocab_size")
        inside = {name: value for name, value in self.state.items() if name not in skipped}
        return self._filled(CLIP(**self.config), inside)

    def _filled(self, model: nn.Module, state: State) -> nn.Module:
        refuse_nan(self.path, state.items())
        try:
            model.load_state_dict({name: value.float() for name, value in state.items()})
        except RuntimeError as error:
            lines = str(error).strip().split("\n")
            raise PluginError(
                f"{self.path} does not hold this CLIP: {lines[min(1, len(lines) - 1)].strip()[:200]}",
                f"Check the option architecture. {refetch(self.path)}",
            ) from error
        return model.eval().requires_grad_(False)

    def recipe(self, size: int | tuple[int, int]) -> Recipe:
        """How pictures are prepared for a model of ``size``.

        Raises:
            PluginError: the checkpoint does not say.
        """
        from mer_plugins.image.preprocess import of_folder, of_open_clip

        return of_folder(self.path) if self.preprocess is None else of_open_clip(self.preprocess, size)


def read_clip(located: Located, architecture: str = "") -> ClipCheckpoint:
    """The checkpoint at ``located``; ``architecture`` is open_clip's name of the model, where it does not say.

    Raises:
        PluginError: it is none of CLIP, damaged, or holds code.
        EnvironmentProblem: open_clip cannot be imported.
    """
    require_open_clip()
    path = located.path
    layout = layout_of(path)
    if layout == "file":
        return _file(path, architecture)
    return _transformers(path) if layout == "transformers" else _open_clip(path, located.identity)


def check_clip(path: Path, architecture: str = "") -> None:
    """Refuse what is seen to be no CLIP, or damaged, without reading the weights.

    Raises:
        PluginError: it is none of CLIP, not whole, or holds code.
        EnvironmentProblem: it is a file, and open_clip cannot be imported.
    """
    from mer_plugins.image.tensors import first_of, refuse_code

    layout = layout_of(path)
    file = path if layout == "file" else first_of(path, NAMES[layout])
    refuse_damaged(file)
    refuse_code(file)
    if layout == "file":
        require_open_clip()
        _config(file, architecture)


def layout_of(path: Path) -> Layout:
    """How the checkpoint at ``path`` is laid out.

    Raises:
        PluginError: it is none of CLIP.
    """
    if path.is_file():
        return "file"
    kind = _json(path / CONFIG).get("model_type")
    if (path / OPEN_CLIP_CONFIG).is_file() and (kind != "clip" or any((path / one).is_file() for one in OPEN_CLIP)):
        return "open_clip"
    if kind == "clip":
        return "transformers"
    if kind is None:
        raise PluginError(f"{path} holds no CLIP: {_no_kind(path)}.", "Name a folder with a checkpoint of CLIP.")
    hint = (
        f"Use the extractor {EXTRACTORS[kind]} for it."
        if kind in EXTRACTORS
        else "hf-vision takes other models of pictures."
    )
    raise PluginError(f"{path} holds a {kind}, not a CLIP.", hint)


def _no_kind(folder: Path) -> str:
    return f"its {CONFIG} does not say the model_type" if (folder / CONFIG).is_file() else f"it has no {CONFIG}"


def require_open_clip() -> None:
    """Import open_clip.

    Raises:
        EnvironmentProblem: it or what it needs cannot be imported, as where torch and torchvision do not match.
    """
    try:
        import open_clip  # noqa: F401
    except (ImportError, RuntimeError, AttributeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise EnvironmentProblem(f"open_clip cannot be imported: {reason}", "Run: mer doctor") from error


def _transformers(folder: Path) -> ClipCheckpoint:
    from mer_plugins.image.clip_names import config_of, renamed
    from mer_plugins.image.tensors import first_of, read_state

    state = renamed(read_state(first_of(folder, NAMES["transformers"])))
    return ClipCheckpoint(folder, config_of(folder), state, None)


def _open_clip(folder: Path, identity: str) -> ClipCheckpoint:
    from mer_plugins.image.tensors import first_of, read_state

    told = _json(folder / OPEN_CLIP_CONFIG)
    config = dict(told.get("model_cfg", told))
    if not {"embed_dim", "vision_cfg"} <= set(config):
        raise PluginError(f"{folder / OPEN_CLIP_CONFIG} describes no model.", refetch(folder))
    if _trained_quick(identity.partition("@")[0]):
        config["quick_gelu"] = True
    state = read_state(first_of(folder, NAMES["open_clip"]))
    return ClipCheckpoint(folder, config, state, dict(told.get("preprocess_cfg", {})))


def _trained_quick(repo: str) -> bool:
    """Whether open_clip's table says of the weights in ``repo`` that they want the quick GELU."""
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained

    published = (get_pretrained_cfg(*one) for one in list_pretrained())
    return any(one.get("quick_gelu") for one in published if str(one.get("hf_hub", "")).strip("/") == repo)


def _file(file: Path, architecture: str) -> ClipCheckpoint:
    from mer_plugins.image.clip_names import is_transformers, renamed
    from mer_plugins.image.tensors import read_state

    state = read_state(file)
    config = _config(file, architecture)
    return ClipCheckpoint(file, config, renamed(state) if is_transformers(state) else state, {})


def _config(file: Path, architecture: str) -> dict[str, Any]:
    """What open_clip says of ``architecture``.

    Raises:
        PluginError: it has none of that name.
    """
    from open_clip.factory import get_model_config, list_models

    config: dict[str, Any] | None = get_model_config(architecture) if architecture in list_models() else None
    if config is None:
        unknown = (
            f"open_clip has no model {architecture!r}" if architecture else f"{file} does not say what model it is"
        )
        raise PluginError(
            f"{unknown}.", "Set the option architecture, such as ViT-L-14-quickgelu (OpenAI's) or ViT-B-32 (others)."
        )
    return config


def _json(file: Path) -> dict[str, Any]:
    """What is in ``file``; nothing if it is not there."""
    import json

    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise PluginError(f"{file} cannot be read: {error}.", refetch(file)) from error
    return found if isinstance(found, dict) else {}
