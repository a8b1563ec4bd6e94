"""What the extractors over published transformers share: which weights, which precision, which layers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mer_core.plugin import Clip, Field, Options, PluginError, Weights
from mer_core.weights import Located, locate, refetch
from mer_plugins import damage
from mer_plugins.architecture import check_kind, read_config
from mer_plugins.trust import failed_code, trusted

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

TOKENIZER_PACKAGES = ("tiktoken", "sentencepiece", "protobuf")
"""What transformers asks for, one instead of the other, where a sentencepiece tokenizer cannot be read."""

LAYER = re.compile(r"\.\d+\.")
"""In the name of a weight of one of many layers."""

Precision = Literal["auto", "float32", "bfloat16", "float16"]


class WeightsOptions(Options):
    """Options of a plugin that loads weights. Subclasses list in ``known`` what their spec lists."""

    known: ClassVar[tuple[Weights, ...]] = ()
    kind: ClassVar[str] = ""
    """The ``model_type`` that the checkpoint's config.json must name; empty: any."""

    model: str
    """Name of known weights, hub id (owner/name), or a local folder or file."""
    revision: str = ""
    """Commit, branch or tag of the hub, in place of the pinned one."""
    precision: Precision = "auto"
    """Floating-point type of the model's arithmetic; auto: float32 on a CPU, half precision on a GPU."""

    def located(self) -> Located:
        """Where the weights are.

        Raises:
            MissingWeightsError: with the command that fetches them.
        """
        return locate(self.model, self.known, self.revision)

    def remarks(self, clips: Sequence[Clip]) -> tuple[str, ...]:
        """Nothing, where the weights look right.

        Raises:
            PluginError: as :meth:`check_weights`.
        """
        self.check_weights(self.located().path)
        return ()

    def check_weights(self, place: Path) -> None:
        """Refuse weights that config.json, headers and sizes show to be wrong. They are not read, so that it is cheap.

        Raises:
            PluginError: they are of another architecture, lack a file, or are cut short.
        """
        check_kind(place, self.kind) if self.kind else read_config(place)
        damage.refuse_damaged(place)

    def fingerprint(self) -> Mapping[str, Any]:
        """The weights' commit or content counts, not what they are called or where they lie."""
        code = {"code": True} if self.runs_code else {}
        return {"model": self.located().identity, "revision": None, "precision": None, **code}

    @property
    def runs_code(self) -> bool:
        """Whether the user has permitted to run the code that comes with this model (for those that ask)."""
        return trusted(self.model)

    def compute_dtype(self, device: str) -> str:
        """Name of the floating-point type that ``auto`` means on ``device``."""
        if self.precision != "auto":
            return self.precision
        if not device.startswith("cuda"):
            return "float32"
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported() else "float16"


class LayerOptions(WeightsOptions):
    """Options of a plugin that adds up the last hidden layers of a transformer."""

    layers: int = Field(default=4, ge=1)
    """How many of the last hidden layers are combined."""
    combine: Literal["sum", "mean"] = "sum"
    """Add the layers up (the MER2024 recipe) or average them."""


def load(folder: Path, device: str, *, auto: str = "AutoModel", code: bool = False) -> Any:
    """A model of transformers from a local folder, in evaluation, float32, on ``device``.

    Safetensors are preferred; pickled files are read with ``weights_only``. No network is used.

    Args:
        auto: name of the class of transformers that finds the model's own.
        code: run the Python code that comes with the model, which its user has permitted.

    Raises:
        PluginError: the folder holds no model that transformers can read, or not all of its weights.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    read_config(folder)
    try:
        with _quietly():
            model, told = getattr(transformers, auto).from_pretrained(
                folder,
                local_files_only=True,
                trust_remote_code=code,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are told, and refused below
            )
    except (OSError, ValueError, KeyError, RuntimeError, EOFError, SafetensorError, UnpicklingError) as error:
        raise unreadable(folder, error) from error
    except Exception as error:
        if not code:
            raise
        raise failed_code(folder, error) from error
    _refuse_gaps(folder, model, told)
    damage.refuse_nan(folder, model.named_parameters())
    return model.eval().requires_grad_(False).to(device)


@contextmanager
def _quietly() -> Iterator[None]:
    """No progress bar and no table of names; what matters of it is an error."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def unreadable(folder: Path, error: Exception) -> PluginError:
    """The error for weights, or a tokenizer, that cannot be loaded."""
    if any(name in damage.short(error).replace(str(folder), "") for name in TOKENIZER_PACKAGES):
        return PluginError(
            f"the tokenizer in {folder} is one of sentencepiece, whose packages are not installed.",
            "Run: pip install sentencepiece protobuf",
        )
    return damage.unreadable(folder, error)


def _refuse_gaps(folder: Path, model: nn.Module, told: Mapping[str, Any]) -> None:
    """A checkpoint that lacks layers, or has them in other shapes, loads with made-up ones; that is refused."""
    for name, there, wanted in sorted(told.get("mismatched_keys", ()), key=str):
        raise PluginError(
            f"{folder}: the weight {name} has the shape {list(there)}, not {list(wanted)}.",
            f"It is of another architecture than its config.json says, or damaged. {refetch(folder)}",
        )
    missing = sorted(name for name in told.get("missing_keys", ()) if "pooler" not in name)
    layers = [name for name in missing if LAYER.search(name)]
    total = len(list(model.parameters()))
    if layers or (total and len(missing) > total // 10):
        raise PluginError(
            f"{folder}: {len(missing)} of {total} weights of {type(model).__name__} are not in the checkpoint "
            f"({(layers or missing)[0]} ...).",
            f"It is of another architecture, or damaged. {refetch(folder)}",
        )


@contextmanager
def computing(device: str, dtype: str) -> Iterator[None]:
    """No gradients, and matrix products in ``dtype`` where it is not float32."""
    import torch

    with torch.inference_mode():
        if dtype == "float32":
            yield
            return
        with torch.autocast(device.partition(":")[0], getattr(torch, dtype)):
            yield


def rounded(model: nn.Module, dtype: str) -> None:
    """Keep the weights of products and convolutions in ``dtype``: half the memory where that is half precision.

    :func:`computing` would round them at every call to the same values.
    """
    import torch
    from torch import nn
    from torch.nn.utils import parametrize

    for part in model.modules():
        if isinstance(part, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and not parametrize.is_parametrized(part):
            part.to(getattr(torch, dtype))


def to_device(array: NDArray[Any] | Tensor, device: str) -> Tensor:
    """``array`` on ``device``. A GPU fetches it from pinned memory, and nobody waits for that.

    On a CPU the tensor is the array's own memory. The array may be dropped at once, but not be written to again.
    """
    import torch

    found = array if isinstance(array, torch.Tensor) else torch.from_numpy(array)
    if not device.startswith("cuda") or found.is_cuda:
        return found.to(device)
    return found.pin_memory().to(device, non_blocking=True)


def last_layers(output: Any, count: int, combine: str) -> Tensor:
    """[B, T, D] the last ``count`` hidden layers together, of a transformers output with hidden states.

    The last one is ``last_hidden_state``, which follows the final layer norm. What transformers puts at the
    end of ``hidden_states`` is that too in version 4.57, and what goes into that norm in 5.23, where the
    norm comes first in each layer (the large HuBERT, wav2vec 2.0 and WavLM).

    Raises:
        PluginError: the model has fewer layers.
    """
    states: Sequence[Tensor] = [*output.hidden_states[:-1], output.last_hidden_state]
    if count >= len(states):
        raise PluginError(
            f"the model has {len(states) - 1} hidden layers; {count} were asked for.", "Lower the option layers."
        )
    total: Tensor = sum(states[-count:])  # type: ignore[assignment]
    return total / count if combine == "mean" else total
