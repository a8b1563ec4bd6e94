"""GPT4-Baichuan: Baichuan reads the transcript together with a ranking of the emotions (arXiv 2409.07078, 3.4).

The ranking is what the deriver ``gpt-ranking`` made. Where there is none, the transcript is read alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from mer_core.plugin import Derived, Sample
from mer_plugins.text.baichuan import Baichuan, Reading
from mer_plugins.text.gpt4_baichuan_options import Gpt4BaichuanOptions
from mer_plugins.text.ranking_prompt import names


class Gpt4Baichuan(Baichuan):
    """Features [T, D] of the T tokens of transcript and ranking, or of the transcript's alone."""

    options: Gpt4BaichuanOptions

    def __init__(self, options: Gpt4BaichuanOptions, device: str) -> None:
        super().__init__(options, device)

    def read(self, sample: Sample) -> Reading:
        """Transcript and ranking in the words of the template."""
        ranking = sample.inputs.get("ranking")
        labels = ranking.info["ranking"] if isinstance(ranking, Derived) else ()
        return spliced(sample.text().content, labels, self.options)


def spliced(text: str, labels: Sequence[str], options: Gpt4BaichuanOptions) -> Reading:
    """What is read of a clip. Nothing where nothing is said, and the text alone where nothing is ranked."""
    if not text.strip():
        return Reading("")
    if not labels:
        return Reading(text)
    before, after = options.words.split("{text}")
    shown = options.separator.join(names(labels[: options.top], options.language))
    head, tail = before.replace("{ranking}", shown), after.replace("{ranking}", shown)
    used = slice(len(head), len(head) + len(text)) if options.pool == "text" else None
    return Reading(head + text + tail, used)
