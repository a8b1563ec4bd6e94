"""Text features of any encoder in transformers: BERT, RoBERTa, MacBERT, ELECTRA, XLNet and their kin.

The recipe is that of the MER2024 baseline: the last four hidden layers are added up, and the special
tokens left out. Longer texts than the model takes are read in overlapping windows.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from mer_core.plugin import Failure, Features, FloatArray, Missing, PluginError, Sample
from mer_plugins.architecture import check_reads, read_config
from mer_plugins.hf import computing, last_layers, load, rounded, to_device
from mer_plugins.text.tokens import Tokens
from mer_plugins.text.transformer_options import HfTextOptions
from mer_plugins.text.windows import Window, batches, windows

UNLIMITED = 512
"""Tokens in a window of a model that sets no limit (XLNet): what such models were trained with."""


class Part(NamedTuple):
    """A window of the text of clip number ``clip``, and its tokens."""

    clip: int
    window: Window
    tokens: Sequence[int]


class HfText:
    """Features [T, D] of the T tokens of a transcript. Times are token numbers: a text has no clock."""

    def __init__(self, options: HfTextOptions, device: str) -> None:
        self.options, self.device = options, device
        self._dtype = options.compute_dtype(device)
        folder = options.located().path
        refuse_unsupported(folder, options.model)
        self.tokens = Tokens(folder, options.runs_code)
        self.model = encoder(load(folder, device, code=options.runs_code))
        check_vocabulary(folder, self.tokens.count, int(self.model.config.vocab_size))
        self._segmented = "token_type_ids" in inspect.signature(self.model.forward).parameters
        self._window = self._window_size()
        check_layers(folder, options.layers, int(self.model.config.num_hidden_layers))
        rounded(self.model, self._dtype)

    @property
    def dim(self) -> int:
        """Width of the hidden layers."""
        return int(self.model.config.hidden_size)

    def extract(self, batch: Sequence[Sample]) -> list[Features | Missing | Failure]:
        """Features of each clip; missing where the transcript has no tokens."""
        texts = [self.tokens(sample.text().content) for sample in batch]
        parts = [
            Part(clip, window, text[window.start : window.stop])
            for clip, text in enumerate(texts)
            if text
            for window in windows(len(text), self._window)
        ]
        found = [np.empty((len(text), self.dim), np.float32) for text in texts]
        sizes = [len(part.tokens) + self.tokens.frame.size for part in parts]
        for group in batches(sizes, self.options.batch_tokens):
            chosen = [parts[place] for place in group]
            for part, states in zip(chosen, self._states(chosen), strict=True):
                found[part.clip][part.window.first : part.window.last] = states[part.window.used]
        return [Features(one, np.arange(float(len(one)))) if len(one) else Missing("no tokens") for one in found]

    def _states(self, parts: Sequence[Part]) -> list[FloatArray]:
        """The layers together, [t, D] of each part, its special tokens left out."""
        with computing(self.device, self._dtype):
            output = self.model(**self._inputs(parts), output_hidden_states=True, return_dict=True)
            states = last_layers(output, self.options.layers, self.options.combine).float().cpu().numpy()
        head = len(self.tokens.frame.before)
        return [row[head : head + len(part.tokens)] for row, part in zip(states, parts, strict=True)]

    def _inputs(self, parts: Sequence[Part]) -> dict[str, Tensor]:
        """Padded on the right, whatever the family: positions then count from the text's first token."""
        frame = self.tokens.frame
        rows = [frame.around(part.tokens) for part in parts]
        pad = getattr(self.model.config, "pad_token_id", None)
        inputs = {
            "input_ids": self._padded(rows, self.tokens.padding if pad is None else int(pad)),
            "attention_mask": self._padded([[1] * len(row) for row in rows], 0),
        }
        segments = [frame.segments_around(len(part.tokens)) for part in parts]
        if self._segmented and segments[0] is not None:
            inputs["token_type_ids"] = self._padded([row or [] for row in segments], 0)
        return inputs

    def _padded(self, rows: Sequence[Sequence[int]], fill: int) -> Tensor:
        """Int64 [B, T]."""
        whole = np.full((len(rows), max(map(len, rows))), fill, np.int64)
        for row, values in zip(whole, rows, strict=True):
            row[: len(values)] = values
        return to_device(whole, self.device)

    def _window_size(self) -> int:
        """Tokens of a text that are read at once, special ones not counted."""
        most = min(positions(self.model), self.tokens.longest) - self.tokens.frame.size
        if not 0 < (self.options.window or most) <= most:
            raise PluginError(f"the model takes {most} tokens at once.", "Lower the option window, or leave it at 0.")
        return self.options.window or most


def refuse_unsupported(folder: Path, model: str) -> None:
    """Refuse what transformers cannot read any more, with the reason, before it is imported.

    Raises:
        PluginError: the folder holds a Transformer-XL, or no configuration.
    """
    if read_config(folder)["model_type"] == "transfo-xl":
        raise PluginError(
            f"{folder} is a Transformer-XL, which transformers 5 has no code for any more "
            "(and version 4 read its vocabulary from a pickle).",
            "Use XLNet, which is built upon it: -o hf-text.model=chinese-xlnet-base.",
        )
    check_reads(folder, "text", model)


def encoder(model: Any) -> Any:
    """The part that reads: a model's encoder if it has a decoder, too; without a pooler."""
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    if "add_pooling_layer" in inspect.signature(type(model)).parameters:
        model.pooler = None  # not in every checkpoint, and no feature passes it
    return model


def positions(model: Any) -> int:
    """Tokens that a model has positions for. RoBERTa's count from after the padding's number, so it has fewer."""
    limit = int(getattr(model.config, "max_position_embeddings", 0) or 0)
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            limit = module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return limit if limit > 0 else UNLIMITED


def check_layers(folder: Path, wanted: int, there: int) -> None:
    """Refuse to combine more hidden layers than there are.

    Raises:
        PluginError: saying how many there are.
    """
    if wanted > there:
        raise PluginError(f"{folder} has {there} hidden layers; {wanted} were asked for.", "Lower the option layers.")


def check_vocabulary(folder: Path, tokens: int, embeddings: int) -> None:
    """Refuse a tokenizer of another model. Without its files transformers 5 makes one that knows no word.

    Raises:
        PluginError: it has more tokens than the model has embeddings, or less than half as many.
    """
    if not embeddings / 2 <= tokens <= embeddings:
        raise PluginError(
            f"{folder}: its tokenizer has {tokens} tokens, the model {embeddings}.",
            "Put the tokenizer's own files there (vocab.txt, tokenizer.json, spiece.model ...).",
        )
