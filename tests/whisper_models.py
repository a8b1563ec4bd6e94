"""Tiny Whisper checkpoints in the published format: weights, spectrum, tokenizer and generation settings."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
END, START, EN, ZH, TRANSLATE, TRANSCRIBE = range(len(LETTERS), len(LETTERS) + 6)
NO_SPEECH = TRANSCRIBE + 3
NO_TIMES = NO_SPEECH + 1
TIMES = NO_TIMES + 1
SPECIAL = ("endoftext", "startoftranscript", "en", "zh", "translate", "transcribe", "startoflm", "startofprev")
SPECIAL = (*SPECIAL, "nospeech", "notimestamps")
LONGEST = 24
"""Tokens that the tiny decoder can say."""


def checkpoint(folder: Path, seconds: int = 2, several: bool = True) -> Path:
    """A tiny Whisper with windows of ``seconds``, a letter a token; ``several`` languages, or English alone."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(5)
    width = {"d_model": 16, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    depth = {"encoder_layers": 1, "decoder_layers": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24}
    ids = {"decoder_start_token_id": START, "pad_token_id": END, "bos_token_id": END, "eos_token_id": END}
    config = WhisperConfig(
        **width,
        **depth,
        **ids,
        vocab_size=TIMES + 50 * seconds + 1,
        max_source_positions=50 * seconds,
        max_target_positions=LONGEST,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    for name, weight in model.named_parameters():
        if "encoder.embed_positions" not in name:  # fresh ones are so small that sound hardly matters
            weight.data += 0.3 * torch.randn_like(weight)
    model.save_pretrained(folder)
    settings(folder, ids, several)
    WhisperFeatureExtractor(feature_size=80, chunk_length=seconds).save_pretrained(folder)
    tokenizer(folder, 50 * seconds)
    return folder


def settings(folder: Path, ids: dict[str, int], several: bool) -> None:
    """How to generate: what is never said, what begins nothing, and the special tokens."""
    told: dict[str, object] = {**ids, "max_length": LONGEST, "max_initial_timestamp_index": 50}
    told |= {"no_timestamps_token_id": NO_TIMES, "is_multilingual": several, "return_timestamps": False}
    odd = [place for place, letter in enumerate(LETTERS) if not (letter.isascii() and letter.isalnum())]
    told |= {"suppress_tokens": [*odd, NO_SPEECH], "begin_suppress_tokens": [LETTERS.index("E"), END]}
    if several:
        told |= {"lang_to_id": {"<|en|>": EN, "<|zh|>": ZH}}
        told |= {"task_to_id": {"translate": TRANSLATE, "transcribe": TRANSCRIBE}}
    (folder / "generation_config.json").write_text(json.dumps(told), encoding="utf-8")


def tokenizer(folder: Path, steps: int) -> None:
    """Byte-level tokens without any merge, and the special ones behind them."""
    made = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(LETTERS)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([f"<|{name}|>" for name in SPECIAL])
    made.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(steps + 1)])
    made.save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "WhisperTokenizer", "model_max_length": LONGEST}
    told |= {f"{kind}_token": "<|endoftext|>" for kind in ("bos", "eos", "unk", "pad")}
    (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
