"""What is asked of a language model, and what emotions are called there. Light.

The paper gives the idea (arXiv 2409.07078, section 3.4: attend to the emotion in the text, sort the labels by
likelihood) and not the words; these are mer's own, and an option replaces them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence

MER2024 = ("neutral", "angry", "happy", "sad", "worried", "surprise")

PROMPTS: Mapping[str, str] = {
    "zh": "请关注下面这句话中的情感信息，将{count}个情感标签（{labels}）按可能性从高到低排序。"
    "只输出一个JSON数组，元素为标签本身。文本：“{text}”",
    "en": "Pay attention to the emotional information in the following text, and sort the {count} emotion labels "
    "({labels}) from the most to the least likely. Output only a JSON array whose elements are the labels "
    'themselves. Text: "{text}"',
}
"""By language. ``{labels}``, ``{count}`` and ``{text}`` are filled in."""

CHINESE: Mapping[str, str] = {
    "neutral": "中性",
    "angry": "愤怒",
    "happy": "高兴",
    "sad": "悲伤",
    "worried": "担心",
    "surprise": "惊讶",
    "calm": "平静",
    "fear": "恐惧",
    "disgust": "厌恶",
    "contempt": "轻蔑",
    "excited": "兴奋",
    "frustrated": "沮丧",
    "bored": "无聊",
    "other": "其他",
}
"""What labels are called in Chinese; others are called what they are."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "neutral": ("neutrality", "neu", "中性", "中立", "中性情绪"),
    "angry": ("anger", "ang", "愤怒", "生气", "气愤", "恼怒", "怒"),
    "happy": ("happiness", "hap", "joy", "joyful", "高兴", "开心", "快乐", "喜悦", "喜"),
    "sad": ("sadness", "悲伤", "伤心", "难过", "哀", "悲"),
    "worried": ("worry", "worrying", "wor", "anxious", "担心", "担忧", "忧虑"),
    "surprise": ("surprised", "sur", "惊讶", "惊奇", "吃惊", "惊"),
    "calm": ("calmness", "平静", "冷静"),
    "fear": ("fearful", "fea", "恐惧", "害怕", "惧"),
    "disgust": ("disgusted", "dis", "厌恶"),
    "contempt": ("contemptuous", "轻蔑", "蔑视"),
    "excited": ("excitement", "exc", "兴奋", "激动"),
    "frustrated": ("frustration", "fru", "沮丧"),
    "bored": ("boredom", "无聊"),
    "other": ("others", "oth", "其他", "其它"),
}
"""Other words for the labels, in answers and tables."""

NUMERALS = "零一二三四五六七八九十"
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


def names(classes: Sequence[str], language: str) -> list[str]:
    """What the classes are called in ``language`` (``zh`` or ``en``)."""
    return [CHINESE.get(name, name) for name in classes] if language == "zh" else list(classes)


def filled(prompt: str, classes: Sequence[str], language: str, text: str) -> str:
    """The prompt for one transcript, whatever braces that may hold itself."""
    shown = names(classes, language)
    parts = {
        "labels": ("、" if language == "zh" else ", ").join(shown),
        "count": _numeral(len(shown), language),
        "text": text,
    }
    return re.sub(r"\{(labels|count|text)\}", lambda found: parts[found[1]], prompt)


def version(prompt: str, classes: Sequence[str], language: str) -> str:
    """Stands for all of the prompt but the transcript."""
    return hashlib.sha256(filled(prompt, classes, language, "{text}").encode()).hexdigest()[:16]


def _numeral(count: int, language: str) -> str:
    numerals: Sequence[str] = NUMERALS if language == "zh" else WORDS
    return numerals[count] if count < len(numerals) else str(count)
