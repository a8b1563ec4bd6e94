"""Random checkpoints of the published widths, with few and narrow layers: to rehearse a run without any download.

    python stand_ins.py FOLDER
    mer run --preset mer2024 --weights-dir FOLDER

Every file has the published name and format, and mer loads it as it loads the real one; features have the published
numbers of columns and mean nothing. Needs torch, transformers and sentencepiece; takes 1 GB of disk.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import sentencepiece
import torch
import transformers
from safetensors.torch import save_file

LAYERS = 4
"""As many hidden layers are summed."""
SENTENCES = [
    "the emotions that this text may express, the likeliest first: happy, surprise, neutral, worried, sad, angry",
    "文本可能表达的情感，从最可能到最不可能：高兴、惊讶、中性、担心、悲伤、愤怒",
    "我第一次跟你吃饭，也是为了要感谢你。",
    "kids are talking by the door, the parcel came this morning, I am so happy that is how it was",
]
VOCABULARY = 300


def hubert(folder: Path) -> None:
    """chinese-hubert-large: 1,024 columns."""
    config = transformers.HubertConfig(
        hidden_size=1024,
        num_hidden_layers=LAYERS,
        num_attention_heads=16,
        intermediate_size=64,
        conv_dim=(32,) * 7,
        num_conv_pos_embedding_groups=64,
        feat_extract_norm="layer",
        conv_bias=True,
        do_stable_layer_norm=True,
    )
    transformers.HubertModel(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True).save_pretrained(folder)


def clip(folder: Path) -> None:
    """clip-vit-large-patch14: embeddings of 768 columns, CLIP's own vocabulary."""
    narrow = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 1}
    pictures = {**narrow, "num_hidden_layers": LAYERS, "image_size": 224, "patch_size": 32}
    words = {**narrow, "num_hidden_layers": 2, "vocab_size": 49408, "max_position_embeddings": 77}
    words |= {"bos_token_id": 49406, "eos_token_id": 49407}
    config = transformers.CLIPConfig(text_config=words, vision_config=pictures, projection_dim=768)
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPImageProcessor().save_pretrained(folder)


def baichuan(folder: Path) -> None:
    """Baichuan-13B-Base: 5,120 columns; the large matrices are zero but for a few rows, and cost what they cost."""
    folder.mkdir(parents=True, exist_ok=True)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 9),
        model_prefix=str(folder / "tokenizer"),
        vocab_size=VOCABULARY,
        model_type="bpe",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    hidden, inner = 5120, 64
    config = {
        "architectures": ["BaichuanForCausalLM"],
        "model_type": "baichuan",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 40,
        "vocab_size": VOCABULARY,
        "model_max_length": 4096,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    state = {"model.embed_tokens.weight": _random(VOCABULARY, hidden), "model.norm.weight": torch.ones(hidden)}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        state |= {
            f"{name}.self_attn.W_pack.weight": _random(3 * hidden, hidden),
            f"{name}.self_attn.o_proj.weight": _random(hidden, hidden),
            f"{name}.mlp.gate_proj.weight": _random(inner, hidden),
            f"{name}.mlp.up_proj.weight": _random(inner, hidden),
            f"{name}.mlp.down_proj.weight": _random(hidden, inner),
            f"{name}.input_layernorm.weight": torch.ones(hidden),
            f"{name}.post_attention_layernorm.weight": torch.ones(hidden),
        }
    state["lm_head.weight"] = _random(VOCABULARY, hidden)
    halves = {name: value.to(torch.bfloat16) for name, value in state.items()}
    save_file(halves, folder / "model.safetensors")


def _random(rows: int, columns: int) -> torch.Tensor:
    """[rows, columns] in half precision, random in its first 256 rows."""
    found = torch.zeros(rows, columns, dtype=torch.bfloat16)
    found[:256] = torch.randn(min(rows, 256), columns) * columns**-0.5
    return found


def main(folder: Path) -> None:
    """Write all of them below ``folder``, each under the name that mer knows it by."""
    torch.manual_seed(0)
    hubert(folder / "chinese-hubert-large")
    clip(folder / "clip-vit-large-patch14")
    baichuan(folder / "baichuan-13b-base")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
