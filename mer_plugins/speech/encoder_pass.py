"""Waves through HuBERT and its kin in one batch, as each would go alone.

The convolutions, the projection and the transformer of the published model are called one after the other, so
that padding can be masked between them in all models alike: also in those with a group norm over time, whose
statistics padded waveforms would change, and in data2vec, whose positional layers would carry it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.rnn import pad_sequence

from mer_core.plugin import FloatArray
from mer_plugins import hf
from mer_plugins.speech.chunks import Grid
from mer_plugins.speech.pieces import side_by_side


class EncoderPass:
    """A loaded model of transformers, ready to give its last hidden layers for several waves at once.

    Args:
        model: HubertModel, Wav2Vec2Model, WavLMModel or Data2VecAudioModel; its weight norm is folded.
        device: torch device string, where the model is.
        layers: how many hidden layers, and ``combine`` as in :func:`mer_plugins.hf.last_layers`.
        raw: the last layer before the model's final layer norm instead of after it.
    """

    def __init__(self, model: Any, device: str, *, layers: int, combine: str, raw: bool) -> None:
        self.model = model
        self.device = device
        self.layers, self.combine, self.raw = layers, combine, raw
        self.grid = Grid.of(model.config)
        _fold_weight_norm(model.encoder.pos_conv_embed)

    def __call__(self, waves: Sequence[FloatArray]) -> Tensor:
        """Hidden layers together [B, T, D], float32; what a row has behind its own frames means nothing."""
        mask = self._mask([self.grid.frames(len(wave)) for wave in waves])
        projected = self.model.feature_projection(self._convolved(waves))
        hidden = projected[0] if isinstance(projected, tuple) else projected
        with _watched(self.model.encoder, self.layers, mask) as seen:
            last = self.model.encoder(hidden, attention_mask=mask).last_hidden_state
        states = [state.float() for state in ([*seen] if self.raw else [*seen[:-1], last])]
        output = SimpleNamespace(hidden_states=[None, *states], last_hidden_state=states[-1])
        return hf.last_layers(output, self.layers, self.combine)

    def _mask(self, frames: Sequence[int]) -> Tensor | None:
        """bool [B, T], False for padding; None where there is none, as when a clip goes alone."""
        if min(frames) == max(frames):
            return None
        return hf.to_device(np.arange(max(frames)) < np.array(frames)[:, None], self.device)

    def _convolved(self, waves: Sequence[FloatArray]) -> Tensor:
        """What the convolutions make of each wave [B, T, C], zeros behind the shorter ones.

        A group norm takes its statistics over the whole wave, so there each length goes alone.
        """
        front = self.model.feature_extractor
        together = len({len(wave) for wave in waves}) == 1 or not _norms_over_time(front)
        batches = [waves] if together else [[wave] for wave in waves]
        return pad_sequence(
            [row for batch in batches for row in front(self._tensor(batch)).transpose(1, 2)], batch_first=True
        )

    def _tensor(self, waves: Sequence[FloatArray]) -> Tensor:
        """Waves [B, N] on the device, zeros behind the shorter ones."""
        return hf.to_device(side_by_side(waves), self.device)


@contextmanager
def _watched(encoder: Any, count: int, mask: Tensor | None) -> Iterator[list[Tensor]]:
    """The outputs of the last ``count`` layers as they come; padding is kept out of data2vec's positional layers.

    What transformers itself collects as ``hidden_states`` has another last entry from version to version.
    """
    seen: list[Tensor] = []
    with ExitStack() as stack:
        for layer in list(encoder.layers)[-count:]:
            stack.callback(layer.register_forward_hook(_keeper(seen)).remove)
        for layer in getattr(encoder.pos_conv_embed, "layers", ()) if mask is not None else ():
            stack.callback(layer.register_forward_pre_hook(_clearer(mask)).remove)
        yield seen


def _keeper(seen: list[Tensor]) -> Callable[..., None]:
    def keep(layer: nn.Module, given: Any, output: Any) -> None:
        seen.append(output[0] if isinstance(output, tuple) else output)

    return keep


def _clearer(mask: Tensor | None) -> Callable[..., Any]:
    def clear(layer: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        return None if mask is None else (given[0] * mask[:, None, :],)

    return clear


def _norms_over_time(front: nn.Module) -> bool:
    return any(isinstance(part, nn.GroupNorm) for part in front.modules())


def _fold_weight_norm(positions: nn.Module) -> None:
    """Compute the normed weights of the positional convolution once, not at every call."""
    for part in positions.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")
