"""Tiny text models with random weights, written as the published ones are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mer_core.plugin import Sample, Text

CHINESE = "今天真是太好了你怎么敢我不知道他把钥匙放在桌子上，。！？"
ENGLISH = ["how", "dare", "you", "##r", "no", "happy", "un", "##happy", "a", "b", "the", "dog"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SIZE = {"hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 3, "intermediate_size": 32}
SENTENCES = [
    "今天真是太好了！你怎么敢？我不知道他把钥匙放在桌子上。",
    "How dare you! The dog is happy, no?",
    "他把钥匙放在桌子上，今天太好了。我不知道你怎么敢。",
    "a dog, a b, unhappy",
]


def said(content: str, name: str = "clip") -> Sample:
    """A clip with a transcript."""
    return Sample(name, {"text": Text(content)})


def write(folder: Path, files: Mapping[str, Any]) -> None:
    """Text files as they are, everything else as JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (folder / name).write_text(text, encoding="utf-8")


def wordpieces(folder: Path, longest: int = 64, tokenizer: str = "BertTokenizer") -> int:
    """A vocabulary like BERT's in ``folder``; its size."""
    words = [*SPECIAL, *dict.fromkeys(CHINESE), *ENGLISH, "!", ","]
    settings = {"tokenizer_class": tokenizer, "do_lower_case": True, "model_max_length": longest}
    write(folder, {"vocab.txt": "\n".join(words) + "\n", "tokenizer_config.json": settings})
    return len(words)


def bytepairs(folder: Path, longest: int = 64) -> int:
    """A vocabulary like RoBERTa's in ``folder``: bytes without merges; its size."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    words = ["<s>", "<pad>", "</s>", "<unk>", *bytes_to_unicode().values(), "<mask>"]
    settings = {"tokenizer_class": "RobertaTokenizer", "model_max_length": longest}
    vocabulary = {word: number for number, word in enumerate(words)}
    write(folder, {"vocab.json": vocabulary, "merges.txt": "#version: 0.2\n", "tokenizer_config.json": settings})
    return len(words)


def sentencepieces(path: Path, size: int = 90, **settings: Any) -> None:
    """A small sentencepiece model in ``path``, trained here."""
    import io

    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 3),
        model_writer=written,
        vocab_size=size,
        num_threads=1,
        minloglevel=2,
        hard_vocab_limit=False,
        **settings,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(written.getvalue())


def save(folder: Path, model: Any, safe: bool = True) -> Path:
    """config.json and weights, in safetensors or pickled."""
    model.config.save_pretrained(folder)
    if safe:
        model.save_pretrained(folder)
    else:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def encoder(folder: Path, family: str, safe: bool = True, **settings: Any) -> Path:
    """A tiny model of ``family`` with its tokenizer in ``folder``."""
    import transformers as hf

    torch.manual_seed(0)
    if family == "xlnet":
        sentencepieces(
            folder / "spiece.model", 100, user_defined_symbols=["<cls>", "<sep>", "<pad>", "<mask>", "<eod>"]
        )
        write(folder, {"tokenizer_config.json": {"tokenizer_class": "XLNetTokenizer"}})
        sizes = {"d_model": 24, "n_layer": 5, "n_head": 3, "d_inner": 32, "vocab_size": 120}
        return save(folder, hf.XLNetModel(hf.XLNetConfig(**sizes, **settings)), safe)
    if family == "roberta":
        vocabulary = bytepairs(folder)
        size = {**SIZE, "vocab_size": vocabulary, "max_position_embeddings": 66, "type_vocab_size": 1}
        return save(folder, hf.RobertaModel(hf.RobertaConfig(**size, **settings)), safe)
    size = {**SIZE, "vocab_size": wordpieces(folder), "max_position_embeddings": 64}
    if family == "electra":
        config = hf.ElectraConfig(**size, embedding_size=16, **settings)
        return save(folder, hf.ElectraForPreTraining(config), safe)
    return save(folder, hf.BertForMaskedLM(hf.BertConfig(**size, **settings)), safe)
