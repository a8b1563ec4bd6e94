"""CLIP with learnt prompts: frames to embeddings, class words to embeddings, videos to scores.

The arithmetic is ViFi-CLIP's (arXiv 2212.03640) with the sizes of EmoVCLIP (arXiv 2409.07078): 4 prompt tokens in each
of the first 12 layers of both towers, everything else frozen. A video's embedding is the mean of its frames', which is
brought to length 1 afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_core.plugin import PluginError
from mer_plugins.video.prompts_plan import PromptPlan, Scheme
from mer_plugins.video.prompts_schemes import SCHEMES, Conditional, Draw, Prompts, Sizes
from mer_plugins.video.prompts_towers import encode_pictures, encode_words, require_towers
from mer_plugins.video.prompts_words import Tokenize, context_tokens, tokenised

__all__ = ["PromptPlan", "PromptedClip", "Scheme", "Tokenize", "prompted", "zero_shot"]

UNTRAINED = "token_embedding."
"""Not trained when all weights are: ViFi-CLIP reads the words' vectors once."""


class PromptedClip(nn.Module):
    """A CLIP with prompts for the texts of some classes. The backbone is shared with whoever gave it."""

    tokens: Tensor

    def __init__(self, model: nn.Module, plan: PromptPlan, prompts: Prompts, tokens: Tensor) -> None:
        super().__init__()
        self.plan = plan
        self.model: Any = model
        self.prompts = prompts
        self.register_buffer("tokens", tokens, persistent=False)
        visual: Any = model.visual
        self.image_size: tuple[int, int] = tuple(visual.image_size)
        self.dim = int(visual.output_dim)

    def frames(self, pictures: Tensor) -> Tensor:
        """Un-normalised embeddings [B, D] of prepared pictures [B, 3, h, w]."""
        return encode_pictures(self.model.visual, pictures, self.prompts.for_vision())

    def classes(self) -> Tensor:
        """Un-normalised embeddings [C, D] of the classes' texts; of nothing seen where they depend on what is."""
        return encode_words(self.model, self.tokens, self.prompts.for_text())

    def logits(self, video: Tensor) -> Tensor:
        """Scores [B, C] of videos [B, D], which are means of their frames' un-normalised embeddings."""
        return self.compared(video, self._said_of(video))

    def compared(self, video: Tensor, words: Tensor) -> Tensor:
        """Scaled cosines [B, C] of videos [B, D] and texts, [C, D] or [B, C, D] where they depend on the video.

        In float32 whatever the caller's autocast, as the scale magnifies rounding a hundredfold.
        """
        with torch.autocast(video.device.type, enabled=False):
            seen, said = F.normalize(video.float(), dim=-1), F.normalize(words.float(), dim=-1)
            scores: Tensor = self.model.logit_scale.float().exp() * (said @ seen.unsqueeze(-1)).squeeze(-1)
        return scores

    def _said_of(self, video: Tensor) -> Tensor:
        if not isinstance(self.prompts, Conditional):
            return self.classes()
        count = len(self.tokens)
        prompts = self.prompts.seen(F.normalize(video.float(), dim=-1)).repeat_interleave(count, dim=0)
        said = encode_words(self.model, self.tokens.repeat(len(video), 1), [prompts])
        return said.view(len(video), count, -1)

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores [B, C] of videos as T prepared frames each, [B, T, 3, h, w]."""
        batch, frames = pictures.shape[:2]
        return self.logits(self.frames(pictures.flatten(0, 1)).float().view(batch, frames, -1).mean(dim=1))

    def train(self, mode: bool = True) -> PromptedClip:
        """A frozen backbone stays in evaluation."""
        super().train(mode)
        self.model.train(mode and self.plan.scheme == "full")
        return self

    def learnable(self) -> dict[str, nn.Parameter]:
        """The parameters that are trained, by name: what an optimiser takes."""
        if self.plan.scheme != "full":
            return dict(self.prompts.named_parameters())
        return {name: one for name, one in self.model.named_parameters() if not name.startswith(UNTRAINED)}

    def trained(self) -> dict[str, Tensor]:
        """Copies of what is learnt, on the CPU, by name."""
        return {name: one.detach().to("cpu", copy=True) for name, one in self.learnable().items()}

    def load_trained(self, state: Mapping[str, Tensor]) -> None:
        """Put ``state`` in place of what is learnt.

        Raises:
            PluginError: names or shapes are not those of these prompts; nothing was changed then.
        """
        own = self.learnable()
        refuse_strangers(self.plan, {name: one.shape for name, one in own.items()}, state)
        with torch.no_grad():
            for name, one in own.items():
                one.copy_(state[name])


def prompted(
    model: nn.Module, plan: PromptPlan, texts: Sequence[str], tokenize: Tokenize, seed: int = 0
) -> PromptedClip:
    """``model`` (open_clip's CLIP) with prompts as ``plan`` says, begun at ``seed``, for classes called ``texts``.

    Everything but the prompts is frozen, in ``model`` itself; of the scheme full, a copy of ``model`` is trained.

    Raises:
        PluginError: the model's towers can hold no prompts, or the tokenizer is not the model's.
        UsageError: plan and texts do not go together.
    """
    require_towers(model)
    tokens = tokenised(model, plan.sentences(tuple(texts)), tokenize)
    prompts = begun(model, plan, tokenize, seed)
    if plan.scheme == "full":
        model = copy.deepcopy(model)
    made = PromptedClip(model.requires_grad_(False), plan, prompts, tokens.to(place(model)))
    for one in made.learnable().values():
        one.requires_grad_(True)
    return made.eval()


def begun(model: Any, plan: PromptPlan, tokenize: Tokenize, seed: int) -> Prompts:
    """Prompts before any training."""
    weight = model.token_embedding.weight
    prompts = SCHEMES[plan.scheme](Sizes.of(model, plan), Draw(seed)).to(weight.device)
    words = context_tokens(model, plan, tokenize) if plan.learns_words else None
    if words is not None:
        with torch.no_grad():
            prompts.for_text()[0].copy_(weight[words.to(weight.device)])
    return prompts


def refuse_strangers(plan: PromptPlan, shapes: Mapping[str, Sequence[int]], state: Mapping[str, Tensor]) -> None:
    """Compare names and shapes.

    Raises:
        PluginError: with the first that differs.
    """
    what = f"these are not the trained weights of {plan.scheme} with {plan.tokens} tokens"
    advice = "Use the options and the backbone that they were trained with."
    for name in (*shapes, *state):
        if name not in state or name not in shapes:
            raise PluginError(f"{what}: {name} is {'missing' if name in shapes else 'unknown'}.", advice)
        if tuple(state[name].shape) != tuple(shapes[name]):
            raise PluginError(f"{what}: {name} is {[*state[name].shape]}, not {[*shapes[name]]}.", advice)


def zero_shot(model: Any, texts: Sequence[str], tokenize: Tokenize, template: str = "a photo of a {label}.") -> Tensor:
    """Un-normalised embeddings [C, D] of class words by CLIP as it is: no prompts, no training.

    Raises:
        PluginError: the text tower is not CLIP's own, or the tokenizer is not the model's.
    """
    require_towers(model)
    sentences = [template.replace("{label}", text.replace("_", " ")) for text in texts]
    with torch.no_grad():
        return encode_words(model, tokenised(model, sentences, tokenize).to(place(model)), [])


def place(model: nn.Module) -> torch.device:
    """The device that the weights are on."""
    return next(model.parameters()).device
