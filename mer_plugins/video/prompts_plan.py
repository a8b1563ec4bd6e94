"""What of CLIP is learnt when it is tuned with prompts. Light: nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mer_core.plugin import UsageError

Scheme = Literal["vl", "ivlp", "vpt", "maple", "cocoop", "full"]

FEW = 4
"""With more prompt tokens than these, the words of the context are no longer where learning begins (ViFi-CLIP)."""


@dataclass(frozen=True)
class PromptPlan:
    """Which prompts, how many and how deep.

    A depth counts the layers that receive prompts, the input of the first one included: with 1 there are prompts at the
    input only. A tower with fewer layers than the depth has prompts in all of them.
    """

    scheme: Scheme = "vl"
    """vl: in both towers (ViFi-CLIP, arXiv 2212.03640); ivlp: the same under its name for images (arXiv 2210.03117);
    vpt: in the image tower only (arXiv 2203.12119); maple: those of the image tower computed from those of the text
    tower (arXiv 2210.03117); cocoop: at the input of the text tower, moved by what is seen (arXiv 2203.05557);
    full: no prompts, all weights are trained."""
    tokens: int = 4
    """Prompt tokens of a layer."""
    vision_depth: int = 12
    text_depth: int = 12
    context: str = "a photo of a"
    """Words before the class; with up to 4 tokens, learning begins at the first of them."""

    def __post_init__(self) -> None:
        """Raises UsageError where the scheme has no such prompts."""
        if self.tokens < 1:
            raise UsageError(f"{self.tokens} prompt tokens: there is nothing to learn.", "Set tokens to 1 or more.")
        if min(self.vision_depth, self.text_depth) < 0:
            raise UsageError("A depth of prompts cannot be negative.", "Set it to 1 or more.")
        if self.text_depth == 0 and self.scheme in ("vl", "ivlp", "maple"):
            raise UsageError(
                f"{self.scheme} has prompts in the text tower: text_depth is at least 1.",
                "For prompts in the image tower only, set scheme to vpt.",
            )
        if self.vision_depth == 0 and self.scheme in ("vpt", "maple"):
            raise UsageError(f"{self.scheme} has prompts in the image tower.", "Set vision_depth to 1 or more.")
        if self.scheme == "maple" and self.vision_depth != self.text_depth:
            raise UsageError("maple's prompts go through both towers together.", "Give both depths the same value.")

    @property
    def learns_words(self) -> bool:
        """Whether some of the words before the class are learnt."""
        return self.scheme not in ("vpt", "full")

    @property
    def prefix(self) -> str:
        """The words before the class; those at the places of the prompts only stand for them."""
        if not self.learns_words or (self.context.strip() and self.tokens <= FEW):
            return self.context.replace("_", " ").strip()
        return " ".join(["X"] * self.tokens)

    def require(self, words: int) -> None:
        """Refuse a prefix of so many tokens if they are fewer than the prompts.

        Raises:
            UsageError: they are; prompts would stand in the place of the class.
        """
        if words < self.tokens:
            raise UsageError(
                f"The context {self.prefix!r} has {words} tokens, fewer than the {self.tokens} that are learnt.",
                f"Name more words, fewer tokens, or an empty context, which begins at random with {self.tokens}.",
            )

    def sentences(self, texts: tuple[str, ...]) -> list[str]:
        """The text of each class."""
        return [f"{self.prefix} {text.replace('_', ' ')}.".strip() for text in texts]
