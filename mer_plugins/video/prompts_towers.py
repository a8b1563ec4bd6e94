"""CLIP's towers of open_clip, run layer by layer with prompts put in. The towers' own modules do all the arithmetic.

After ViFi-CLIP (arXiv 2212.03640) and the deep prompts of VPT (arXiv 2203.12119): the first layer's prompts are put
into the input; before each further layer up to the depth, what the former prompts became is replaced by that layer's
own prompts. Sequences therefore never grow, and behind the depth the last prompts' outputs flow on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mer_core.plugin import PluginError


def require_towers(model: nn.Module) -> None:
    """Refuse what is no CLIP with two plain transformers.

    Raises:
        PluginError: the image tower is no vision transformer of open_clip, or the text tower is not CLIP's own.
    """
    visual = getattr(model, "visual", None)
    if not hasattr(visual, "class_embedding") or not hasattr(getattr(visual, "transformer", None), "resblocks"):
        raise PluginError(
            f"prompts go into open_clip's vision transformers, and this image tower is a {type(visual).__name__}.",
            "Name weights of a CLIP with a ViT, such as ViT-L-14 or ViT-B-16.",
        )
    words, places = getattr(model, "token_embedding", None), getattr(model, "positional_embedding", None)
    if words is None or places is None or len(places) != model.context_length:
        raise PluginError("prompts go into CLIP's own text tower, and this one is another.", "Name other weights.")


def encode_pictures(visual: Any, pictures: Tensor, prompts: Sequence[Tensor]) -> Tensor:
    """Un-normalised embeddings [B, D] of ``pictures`` [B, 3, h, w].

    ``prompts`` has one [n, width] for each of the first layers. They stand at the end of the sequence, have no
    positions, the first ones pass ``ln_pre``, and their outputs are not pooled.
    """
    patches = visual.conv1(pictures).flatten(2).transpose(1, 2)
    first = visual.class_embedding.to(patches.dtype).expand(len(patches), 1, -1)
    tokens = torch.cat([first, patches], dim=1) + visual.positional_embedding.to(patches.dtype)
    tokens = visual.patch_dropout(tokens)
    end = tokens.shape[1]
    tokens = visual.ln_pre(placed(tokens, prompts, 0, end))
    tokens = _layers(visual.transformer, tokens, prompts, end, None)
    pooled: Tensor = visual._pool(tokens[:, :end])[0]
    return pooled if visual.proj is None else pooled @ visual.proj


def encode_words(model: Any, tokens: Tensor, prompts: Sequence[Tensor]) -> Tensor:
    """Un-normalised embeddings [C, D] of texts, as tokens [C, L].

    ``prompts`` has one [n, width] for each of the first layers, or [C, n, width] where each text has its own. They
    stand right behind the start token; the first ones have positions like the words in whose place they are.
    """
    from open_clip.transformer import text_global_pool

    kind = model.transformer.get_cast_dtype()
    states = placed(model.token_embedding(tokens).to(kind), prompts, 0, 1)
    length = tokens.shape[1]
    states = states + model.positional_embedding[:length].to(kind)
    mask = None if model.attn_mask is None else model.attn_mask[:length, :length]
    states = model.ln_final(_layers(model.transformer, states, prompts, 1, mask))
    pooled: Tensor = text_global_pool(states, tokens, model.text_pool_type, eos_token_id=model.text_eos_id)
    project = model.text_projection
    if isinstance(project, nn.Linear):
        pooled = project(pooled)
    elif project is not None:
        pooled = pooled @ project
    return pooled


def placed(tokens: Tensor, prompts: Sequence[Tensor], layer: int, start: int) -> Tensor:
    """``tokens`` [B, L, width] with the prompts of ``layer`` in place of those from ``start`` on; unchanged without."""
    if layer >= len(prompts):
        return tokens
    own = prompts[layer].to(tokens.dtype).expand(len(tokens), -1, -1)
    return torch.cat([tokens[:, :start], own, tokens[:, start + own.shape[1] :]], dim=1)


def _layers(tower: Any, tokens: Tensor, prompts: Sequence[Tensor], start: int, mask: Tensor | None) -> Tensor:
    for index, block in enumerate(tower.resblocks):
        if index > 0:
            tokens = placed(tokens, prompts, index, start)
        tokens = _layer(tower, block, tokens, mask)
    return tokens


def _layer(tower: Any, block: Any, tokens: Tensor, mask: Tensor | None) -> Tensor:
    """One layer; open_clip's towers can have their sequence first, and can save memory in training."""
    turned = not getattr(tower, "batch_first", True)
    tokens = tokens.transpose(0, 1) if turned else tokens
    if tower.grad_checkpointing and torch.is_grad_enabled():
        tokens = checkpoint(block, tokens, attn_mask=mask, use_reentrant=False)
    else:
        tokens = block(tokens, attn_mask=mask)
    return tokens.transpose(0, 1) if turned else tokens
