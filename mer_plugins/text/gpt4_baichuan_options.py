"""Options of ``gpt4-baichuan``, validated before anything heavy is imported."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from mer_core.plugin import Field, OptionError
from mer_plugins.text.baichuan_options import BaichuanOptions

TEMPLATES = {
    ("text_first", "zh"): "{text}\n情感可能性从高到低：{ranking}",
    ("ranking_first", "zh"): "情感可能性从高到低：{ranking}\n{text}",
    ("text_first", "en"): "{text}\nEmotions from the most to the least likely: {ranking}",
    ("ranking_first", "en"): "Emotions from the most to the least likely: {ranking}\n{text}",
}


class Gpt4BaichuanOptions(BaichuanOptions):
    """Options of the ``gpt4-baichuan`` extractor: those of ``baichuan``, and how ranking and text are joined."""

    order: Literal["text_first", "ranking_first"] = "text_first"
    """Which comes first. The decoder looks back only: what comes second is read in the light of the first."""
    language: Literal["zh", "en"] = "zh"
    """Language of the labels and of the words around them."""
    separator: str = " > "
    """What stands between two labels."""
    top: int = Field(default=6, ge=1)
    """How many of the likeliest labels are told."""
    template: str = ""
    """{text} and {ranking} with what stands around them; empty: the words of the chosen order and language."""
    pool: Literal["all", "text"] = "all"
    """Tokens that become features: all that are read, or the transcript's alone (only with the ranking first)."""

    @model_validator(mode="before")
    @classmethod
    def _in_order(cls, values: Any) -> Any:
        """A template of one's own says itself what comes first."""
        template = values.get("template") if isinstance(values, dict) else None
        if not isinstance(template, str) or not template:
            return values
        if template.count("{text}") != 1 or template.count("{ranking}") != 1:
            raise OptionError(
                "gpt4-baichuan: the template must have {text} and {ranking}, each once.", "Change the option template."
            )
        text_first = template.index("{text}") < template.index("{ranking}")
        return {**values, "order": "text_first" if text_first else "ranking_first"}

    @model_validator(mode="after")
    def _heard(self) -> Gpt4BaichuanOptions:
        if self.pool == "text" and self.order == "text_first":
            raise OptionError(
                "gpt4-baichuan: with the text first and pool=text the ranking changes nothing, as the decoder never "
                "looks ahead.",
                "Choose -o gpt4-baichuan.order=ranking_first, or pool=all.",
            )
        return self

    @property
    def words(self) -> str:
        """The template in force."""
        return self.template or TEMPLATES[self.order, self.language]
