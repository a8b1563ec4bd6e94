"""Text features of Baichuan, the last four layers added up (arXiv 2409.07078, section 3.4).

Weights are read from the published files with this package's own decoder, and the tokenizer with
sentencepiece: none of the code that comes with them is run. The model of 13 billion parameters works
on a machine with 8 GB, as only one of its layers is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sentencepiece import SentencePieceProcessor

from mer_core.plugin import Failure, Features, IntArray, Missing, PluginError, Sample
from mer_core.weights import refetch
from mer_plugins.text.baichuan_options import BaichuanOptions
from mer_plugins.text.checkpoint import Checkpoint
from mer_plugins.text.decoder import Shape
from mer_plugins.text.streaming import LayerPass, States, Tell
from mer_plugins.text.windows import Window, windows

Answer = Features | Missing | Failure

FREQUENCIES = "rotary_emb.inv_freq"
"""How a buffer of the 7B models is called, which some published files hold."""

SPARE = 1.25
"""Layers are kept on a GPU with this many times their size free."""


class Reading(NamedTuple):
    """What the model reads of a clip. ``used`` are the characters whose tokens become features; None: all."""

    text: str
    used: slice | None = None


class Encoded(NamedTuple):
    """A clip's tokens [T], and which of them become features, bool [T]."""

    id: str
    tokens: IntArray
    used: Any


class Opened(NamedTuple):
    """What is known of a model before any of its layers is read; ``tokenizer`` is sentencepiece's."""

    shape: Shape
    weights: Checkpoint
    tokenizer: Any


class Baichuan:
    """Features [T, D] of the T tokens of a transcript. Times are token numbers: a text has no clock.

    What is read of a clip is what :meth:`read` says: a subclass may have more read than the transcript.
    """

    def __init__(self, options: BaichuanOptions, device: str) -> None:
        folder = options.located().path
        self.options = options
        self.shape, self._weights, self._tokenizer = opened(folder, options)
        dtype = options.compute_dtype(device)
        self._pass = LayerPass(
            self.shape,
            self._weights,
            device,
            dtype,
            layers=options.layers,
            raw=options.last == "raw",
            keep=keeps(options, self.shape, device, dtype),
            memory=options.memory * 1e9,
            scratch=options.scratch,
            batch_tokens=options.batch_tokens,
        )
        self.tell: Tell = lambda note: None

    @property
    def parameters(self) -> int:
        """Those in the checkpoint, counted from its headers: the model is never in memory whole.

        The frequencies of rotation, which lie beside them in the oldest one, are none.
        """
        return sum(prod(shape) for name, shape in self._weights.shapes().items() if not name.endswith(FREQUENCIES))

    @property
    def dim(self) -> int:
        """Width of the decoder: 5120 for the models of 13B."""
        return self.shape.hidden

    def read(self, sample: Sample) -> Reading:
        """The transcript, all of it used."""
        return Reading(sample.text().content)

    def extract(self, batch: Sequence[Sample]) -> list[Answer]:
        """Features of each clip; missing where the transcript has no tokens."""
        encoded = [self._encode(sample) for sample in batch]
        numbered = [one._replace(id=str(number)) for number, one in enumerate(encoded)]
        answers = dict(self._answers(numbered))
        return [answers[str(number)] for number in range(len(batch))]

    def extract_stream(self, samples: Iterable[Sample]) -> Iterator[tuple[str, Answer]]:
        """Features of all clips, wave after wave; within a wave all clips pass a layer before the next is read."""
        encoded = map(self._encode, samples)
        while wave := list(self._wave(encoded)):
            yield from self._answers(wave)

    def _wave(self, encoded: Iterator[Encoded]) -> Iterator[Encoded]:
        """The next clips, up to the tokens of a wave."""
        count = 0
        while count < self.options.wave and (found := list(islice(encoded, 1))):
            count += len(found[0].tokens)
            yield found[0]

    def _encode(self, sample: Sample) -> Encoded:
        text, used = self.read(sample)
        if used is None:
            tokens = np.array(self._tokenizer.encode(text), np.int64)
            return Encoded(sample.id, tokens, np.ones(len(tokens), bool))
        numbers, places = placed(self._tokenizer, text)
        first, last, _ = used.indices(len(text))
        inside = [begin < last and end > first for begin, end in places]
        return Encoded(sample.id, np.array(numbers, np.int64), np.array(inside, bool))

    def _answers(self, clips: Sequence[Encoded]) -> Iterator[tuple[str, Answer]]:
        """Features of each clip: those of its windows, one after the other."""
        size = (self.options.window or self.shape.context) - self.options.add_bos
        cut = [windows(len(clip.tokens), size, causal=True) if len(clip.tokens) else [] for clip in clips]
        texts = [
            self._begun(clip.tokens[one.start : one.stop]) for clip, own in zip(clips, cut, strict=True) for one in own
        ]
        states = self._pass.run(texts, self.tell)
        try:
            place = 0
            for clip, own in zip(clips, cut, strict=True):
                yield clip.id, self._answer(clip, own, states, place)
                place += len(own)
        finally:
            states.close()

    def _answer(self, clip: Encoded, own: Sequence[Window], states: States, place: int) -> Answer:
        if not clip.used.any():
            return Missing("no tokens")
        skip = int(self.options.add_bos)
        values = np.concatenate([states[place + number][skip:][one.used] for number, one in enumerate(own)])
        if self.options.combine == "mean":
            values /= self.options.layers
        return Features(values[clip.used], np.flatnonzero(clip.used).astype(np.float64))

    def _begun(self, tokens: IntArray) -> IntArray:
        return np.concatenate([[self._tokenizer.bos_id()], tokens]) if self.options.add_bos else tokens


def opened(folder: Path, options: BaichuanOptions) -> Opened:
    """The model in ``folder``, of which only headers are read.

    Raises:
        PluginError: it is none, not whole, or cannot do what the options ask for.
    """
    shape = Shape.read(folder)
    check_options(folder, shape, options)
    weights = Checkpoint(folder)
    weights.require(shape.expected())
    return Opened(shape, weights, tokenizer(folder, shape.vocabulary))


def tokenizer(folder: Path, vocabulary: int) -> Any:
    """The sentencepiece model in ``folder``.

    Raises:
        PluginError: it is not there, damaged, or another model's.
    """
    path = folder / "tokenizer.model"
    try:
        found: Any = SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        reason = "is not there" if not path.exists() else f"cannot be read ({type(error).__name__})"
        raise PluginError(f"{path} {reason}.", refetch(path)) from error
    if len(found) > vocabulary:
        raise PluginError(f"{path} has {len(found)} tokens, the model {vocabulary}.", "It is another model's.")
    return found


def placed(pieces: Any, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The tokens of ``text``, and where each begins and ends, in characters."""
    if hasattr(pieces, "EncodeAsOffsetMapping"):
        found = pieces.EncodeAsOffsetMapping(text)
        return found["ids"], found["offsets"]
    older = pieces.encode(text, out_type="immutable_proto").pieces  # older versions of sentencepiece
    return [one.id for one in older], [(one.begin, one.end) for one in older]


def check_options(folder: Path, shape: Shape, options: BaichuanOptions) -> None:
    """Refuse what the model cannot do.

    Raises:
        PluginError: more layers than there are, or longer windows than it was trained for.
    """
    if options.layers > shape.layers:
        raise PluginError(
            f"{folder} has {shape.layers} layers; {options.layers} were asked for.", "Lower the option layers."
        )
    if not options.add_bos < (options.window or shape.context) <= shape.context:
        raise PluginError(f"the model reads {shape.context} tokens at once.", "Change the option window.")


def keeps(options: BaichuanOptions, shape: Shape, device: str, dtype: str) -> bool:
    """Whether all layers are to be held on ``device``."""
    if options.keep_layers != "auto" or not device.startswith("cuda"):
        return options.keep_layers == "always"
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return free > SPARE * shape.parameters * (4 if dtype == "float32" else 2)
