"""What Whisper says of a window of sound: the likeliest tokens, one after the other, and the segments that they mark.

Source: Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision" (arXiv 2212.04356), sections 2.3
(the special tokens) and 4.5 (long sound: the next window begins where the last whole segment ended).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    WhisperTimeStampLogitsProcessor,
)

from mer_core.plugin import PluginError
from mer_core.weights import refetch

ENGLISH = "en"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The special tokens of a checkpoint.

    ``languages`` maps a code to its token, and is empty where the model knows English alone; ``times`` is the first of
    the tokens that stand for times, 20 ms apart.
    """

    start: int
    end: int
    transcribe: int
    no_speech: int
    times: int
    languages: Mapping[str, int]

    @classmethod
    def of(cls, model: Any, folder: Path) -> Vocabulary:
        """The special tokens that generation_config.json names.

        Raises:
            PluginError: it is not there, or older than what it has to say.
        """
        config = model.generation_config
        several = bool(getattr(config, "is_multilingual", True))
        wanted = ["no_timestamps_token_id", *(["lang_to_id", "task_to_id"] if several else [])]
        absent = [name for name in wanted if getattr(config, name, None) is None]
        if absent:
            raise PluginError(f"{folder}: generation_config.json does not say {absent[0]}.", refetch(folder))
        end = config.eos_token_id
        return cls(
            start=int(config.decoder_start_token_id),
            end=int(end[0] if isinstance(end, list) else end),
            transcribe=int(config.task_to_id["transcribe"]) if several else -1,
            no_speech=config.no_timestamps_token_id - 1,
            times=config.no_timestamps_token_id + 1,
            languages={name.strip("<|>"): int(token) for name, token in config.lang_to_id.items()} if several else {},
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """What was decoded of a window.

    Args:
        tokens: of text and of times, without those around them.
        language: its code.
        no_speech: probability that nobody speaks.
        likelihood: mean log probability of the tokens and of the end.
    """

    tokens: list[int]
    language: str
    no_speech: float
    likelihood: float


@dataclass(frozen=True, slots=True)
class Segment:
    """Tokens of text between two times, counted in steps of 20 ms from the window's start."""

    start: int
    end: int
    tokens: list[int]


class Decoder:
    """Decodes windows with a ``WhisperForConditionalGeneration``; the encoder sees each of them once."""

    def __init__(self, model: Any, words: Vocabulary) -> None:
        self.model, self.words = model, words
        self.longest = int(model.config.max_target_positions)

    @torch.inference_mode()
    def __call__(self, mel: Tensor, languages: Sequence[str | None]) -> list[Heard]:
        """What is said in the windows ``mel`` [B, bands, frames]; where no language is given, it is recognised."""
        states = self.model.model.encoder(mel).last_hidden_state
        tokens = torch.full((len(mel), 1), self.words.start, device=mel.device)
        logits, past = self._step(states, tokens, None)
        silence = logits.softmax(-1)[:, self.words.no_speech].tolist()
        spoken = self._languages(logits, languages)
        if self.words.languages:
            more = [[self.words.languages[one], self.words.transcribe] for one in spoken]
            tokens = torch.cat([tokens, torch.tensor(more, device=mel.device)], 1)
            logits, past = self._step(states, tokens[:, 1:], past)
        found, likelihoods = self._greedy(states, tokens, logits, past)
        return [Heard(*facts) for facts in zip(found, spoken, silence, likelihoods, strict=True)]

    def _step(self, states: Tensor, tokens: Tensor, past: Any) -> tuple[Tensor, Any]:
        """Scores [B, V] of what follows ``tokens`` [B, n], which follow ``past``."""
        found = self.model(encoder_outputs=(states,), decoder_input_ids=tokens, past_key_values=past, use_cache=True)
        return found.logits[:, -1].float(), found.past_key_values

    def _languages(self, logits: Tensor, languages: Sequence[str | None]) -> list[str]:
        """The language of each window: as given, else the one whose token is the likeliest after the start."""
        if not self.words.languages:
            return [ENGLISH] * len(languages)
        codes, tokens = list(self.words.languages), list(self.words.languages.values())
        likeliest = logits[:, tokens].argmax(-1).tolist()
        return [given or codes[best] for given, best in zip(languages, likeliest, strict=True)]

    def _greedy(self, states: Tensor, tokens: Tensor, logits: Tensor, past: Any) -> tuple[list[list[int]], list[float]]:
        """The tokens after ``tokens``, up to the end, and the mean log probability of each row."""
        begin, end = tokens.shape[1], self.words.end
        rules = self._rules(begin, tokens.device)
        done = torch.zeros(len(tokens), dtype=torch.bool, device=tokens.device)
        total, count = torch.zeros(len(tokens), device=tokens.device), torch.zeros_like(done, dtype=torch.long)
        while True:
            for rule in rules:
                logits = rule(tokens, logits)
            best = logits.log_softmax(-1).max(-1)
            total += best.values.masked_fill(done, 0.0)
            count += ~done
            new = best.indices.masked_fill(done, end)
            tokens = torch.cat([tokens, new[:, None]], 1)
            done |= new == end
            if bool(done.all()) or tokens.shape[1] >= self.longest:
                break
            logits, past = self._step(states, new[:, None], past)
        rows = [row[: row.index(end)] if end in row else row for row in tokens[:, begin:].tolist()]
        return rows, (total / count).tolist()

    def _rules(self, begin: int, device: torch.device) -> list[Any]:
        """Tokens that are never said, that begin nothing, and the order of times; in the order of transformers."""
        config = self.model.generation_config
        rules: list[Any] = []
        if config.begin_suppress_tokens:
            rules.append(SuppressTokensAtBeginLogitsProcessor(config.begin_suppress_tokens, begin, device=str(device)))
        if config.suppress_tokens:
            rules.append(SuppressTokensLogitsProcessor(config.suppress_tokens, device=str(device)))
        return [*rules, WhisperTimeStampLogitsProcessor(config, begin_index=begin)]


def segments(tokens: Sequence[int], words: Vocabulary, length: int) -> tuple[list[Segment], int]:
    """The segments of a window whose sound has ``length`` steps of 20 ms, and where in it the next window begins.

    Two times in a row are the end of a segment and the start of the next one. A last segment that does not end is left
    to the next window, unless it is the only one.
    """
    stamps = [token >= words.times for token in tokens]
    cuts = [i + 1 for i, pair in enumerate(pairwise(stamps)) if all(pair)]
    whole = stamps[-2:] == [False, True]
    if not cuts:
        said = [token - words.times for token in tokens if token > words.times]
        return [Segment(0, min(said[-1], length) if said else length, _text(tokens, words))], length
    found = []
    for first, last in pairwise([0, *cuts, *([len(tokens)] if whole else [])]):
        start, end = (min(tokens[place] - words.times, length) if stamps[place] else 0 for place in (first, last - 1))
        found.append(Segment(start, end, _text(tokens[first:last], words)))
    return found, length if whole else min(found[-1].end, length) or length


def _text(tokens: Sequence[int], words: Vocabulary) -> list[int]:
    """The tokens of text: those before the special ones."""
    return [token for token in tokens if token < words.end]
