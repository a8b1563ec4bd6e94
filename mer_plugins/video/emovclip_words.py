"""Words for the classes, as they stand in the texts that videos are compared with. Light.

Figure 2 of arXiv 2409.07078 shows anger, happiness, sadness, worry, neutral and surprise in the text prompts; the data
set calls the same classes angry, happy, sad, worried, neutral and surprise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

LabelWords = Literal["dataset", "paper", "sentence"]

TEMPLATE = "a photo of a {label}."
"""The text of a class where nothing is learnt."""

PAPER = {
    "angry": "anger",
    "happy": "happiness",
    "sad": "sadness",
    "worried": "worry",
    "surprised": "surprise",
    "fearful": "fear",
    "disgusted": "disgust",
}
"""The paper's word for a class of the data set; others are the same in both, or are in neither."""

PERSON = {
    "anger": "angry",
    "happiness": "happy",
    "sadness": "sad",
    "worry": "worried",
    "surprise": "surprised",
    "fear": "fearful",
    "disgust": "disgusted",
    "contempt": "contemptuous",
}
"""The word for a person who feels what the class is called."""


def class_words(
    classes: Sequence[str], style: LabelWords = "paper", own: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """A word for each class: the user's ``own``, or that of the style; the class itself where there is none."""
    return tuple((own or {}).get(name) or _word(name.replace("_", " ").strip(), style) for name in classes)


def _word(name: str, style: LabelWords) -> str:
    known = name.lower()
    if style == "paper":
        return PAPER.get(known, name)
    if style == "sentence":
        return f"{PERSON.get(known, name)} person"
    return name
