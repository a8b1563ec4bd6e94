"""The artefact ``transcript``: what is said in a clip, as Whisper hears it.

Windows of 30 s, the likeliest token each time (no chance in it). Windows that hold no speech, and texts that go round
in circles, are left out: Whisper writes down something for silence, too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mer_core.plugin import Audio, Derived, Failure, Missing, PluginError, Sample
from mer_plugins import hf
from mer_plugins.architecture import check_kind
from mer_plugins.speech.pieces import RATE, device_kind, unheard
from mer_plugins.speech.whisper import HOP, SHORTEST, read_spectrum
from mer_plugins.speech.whisper_asr_options import AUTO, WhisperAsrOptions
from mer_plugins.speech.whisper_decoding import Decoder, Heard, Vocabulary, segments

AT_ONCE = {"cuda": 16, "cpu": 1}
"""Windows decoded together."""

SILENCE = 1e-4
"""Largest magnitude of samples that nobody could hear (-80 dB of full scale)."""

STEP = HOP / RATE
"""Seconds from one time token to the next."""

Answer = Derived | Missing | Failure
Line = dict[str, Any]
"""A segment: start and end in seconds, and its text."""


@dataclass(slots=True)
class Listening:
    """A clip on its way: its spectrum [bands, frames], its length and the place reached, both in steps of 20 ms."""

    mel: Tensor
    length: int
    language: str | None
    at: int = 0
    lines: list[Line] = field(default_factory=list)

    def window(self, steps: int) -> Tensor:
        """The next ``steps`` of the spectrum [bands, 2 * steps], zeros behind its end."""
        part = self.mel[:, 2 * self.at : 2 * (self.at + steps)]
        return functional.pad(part, (0, 2 * steps - part.shape[1]))


class WhisperAsr:
    """Derived ``transcript``: info holds ``text``, ``language`` (a code) and ``segments`` with times in seconds."""

    def __init__(self, options: WhisperAsrOptions, device: str) -> None:
        self.options, self.device = options, device
        folder = options.located().path
        check_kind(folder, "whisper")
        model = hf.load(folder, device, auto="WhisperForConditionalGeneration")
        self.words = Vocabulary.of(model, folder)
        self._check_language()
        self.spectrum = read_spectrum(folder, int(model.config.num_mel_bins))
        self.steps = int(model.config.max_source_positions)
        self.dtype = getattr(torch, options.compute_dtype(device))
        self.decoder = Decoder(model.to(self.dtype), self.words)
        self.tokenizer = _tokenizer(folder, self.words)

    def _check_language(self) -> None:
        known = list(self.words.languages) or ["en"]
        if self.options.language not in (AUTO, *known):
            what = f"{self.options.model} does not know the language {self.options.language!r}."
            raise PluginError(what, f"It knows {', '.join(known)}.")

    def derive(self, batch: Sequence[Sample]) -> list[Answer]:
        """What is said in each clip; missing where nobody speaks."""
        sounds = [sample.audio() for sample in batch]
        answers: list[Answer | Listening] = [self._begun(audio) for audio in sounds]
        waiting = [one for one in answers if isinstance(one, Listening)]
        while waiting:
            for group in _groups(waiting, AT_ONCE[device_kind(self.device)]):
                self._listen(group)
            waiting = [one for one in waiting if one.at < one.length]
        return [_answer(one) if isinstance(one, Listening) else one for one in answers]

    def _begun(self, audio: Audio) -> Listening | Missing | Failure:
        samples = audio.samples
        if len(samples) < SHORTEST or not np.isfinite(samples).all():
            return unheard(audio, f"{SHORTEST} samples")
        if np.abs(samples).max() < SILENCE:
            return Missing("no speech")
        length = ceil(len(samples) / HOP)
        padding: dict[str, Any] = {"padding": "longest", "truncation": False} if length > self.steps else {}
        heard = self.spectrum(samples, sampling_rate=RATE, return_tensors="pt", device=self.device, **padding)
        given = self.options.language
        return Listening(heard.input_features[0].to(self.dtype), length, None if given == AUTO else given)

    def _listen(self, clips: Sequence[Listening]) -> None:
        """Decode the next window of each clip."""
        mel = torch.stack([clip.window(self.steps) for clip in clips])
        found = self.decoder(hf.to_device(mel, self.device), [clip.language for clip in clips])
        for clip, heard in zip(clips, found, strict=True):
            self._note(clip, heard)

    def _note(self, clip: Listening, heard: Heard) -> None:
        """Write down what was heard in the clip's window, if it is speech, and go on to the next one."""
        length = min(clip.length - clip.at, self.steps)
        clip.language = heard.language
        parts, on = segments(heard.tokens, self.words, length)
        texts = [str(self.tokenizer.decode(part.tokens, clean_up_tokenization_spaces=False)) for part in parts]
        if self._speech(heard, "".join(texts)):
            clip.lines += [
                {"start": _seconds(clip.at + part.start), "end": _seconds(clip.at + part.end), "text": text}
                for part, text in zip(parts, texts, strict=True)
                if text.strip()
            ]
        else:
            on = length
        clip.at += on

    def _speech(self, heard: Heard, text: str) -> bool:
        options = self.options
        silent = heard.no_speech > options.no_speech and heard.likelihood < options.likelihood
        return not silent and _repetition(text) <= options.repetition


def _groups(clips: Sequence[Listening], size: int) -> Iterator[Sequence[Listening]]:
    for start in range(0, len(clips), size):
        yield clips[start : start + size]


def _answer(clip: Listening) -> Derived | Missing:
    text = "".join(line["text"] for line in clip.lines).strip()
    if not any(letter.isalnum() for letter in text):
        return Missing("no speech")
    lines = [{**line, "text": line["text"].strip()} for line in clip.lines]
    return Derived({}, {"text": text, "language": clip.language, "segments": lines})


def _seconds(steps: int) -> float:
    return round(steps * STEP, 2)


def _repetition(text: str) -> float:
    """How many times shorter the text becomes when it is compressed; 0 for none."""
    content = text.encode()
    return len(content) / len(zlib.compress(content))


def _tokenizer(folder: Any, words: Vocabulary) -> Any:
    """The tokenizer in ``folder``.

    Raises:
        PluginError: there is none that transformers can read, or it is another model's.
    """
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise hf.unreadable(folder, error) from error
    if len(found) <= words.end:
        what = f"{folder}: its tokenizer has {len(found)} tokens, too few for the model."
        raise PluginError(what, "Put the tokenizer's own files there: tokenizer.json, tokenizer_config.json.")
    return found
