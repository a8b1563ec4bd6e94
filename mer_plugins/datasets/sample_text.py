"""The sentences of the sample data set, Chinese and English, written for this purpose.

A transcript is an event that says nothing about the emotion plus two cues of the class that the
text channel shows, mostly opened by an interjection that both languages use.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

EVENTS: Mapping[str, tuple[str, ...]] = {
    "en": (
        "The parcel came this morning",
        "My brother called about the trip",
        "They moved the meeting to Monday",
        "The neighbours have a new dog",
        "She left the keys on the table",
        "We took the early train today",
        "The teacher read my letter",
        "He cooked dinner for all of us",
    ),
    "zh": (
        "今天早上包裹到了",
        "弟弟打电话说旅行的事",
        "会议改到星期一了",
        "邻居家养了一条新的狗",
        "她把钥匙放在桌子上",
        "我们今天坐了早班火车",
        "老师看了我写的信",
        "他给大家做了晚饭",
    ),
}

CUES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "en": {
        "neutral": ("that is how it was", "nothing special", "just as planned"),
        "angry": ("this makes me furious", "how dare you", "I have had enough"),
        "happy": ("I am so happy", "this is wonderful", "I love it"),
        "sad": ("I feel like crying", "I miss the old days", "it breaks my heart"),
        "worried": ("I am afraid of what comes", "what if it goes wrong", "I cannot stop worrying"),
        "surprise": ("I can hardly believe it", "is that really true", "who would have guessed"),
    },
    "zh": {
        "neutral": ("就是这样", "没什么特别的", "跟计划一样"),
        "angry": ("真是气死我了", "你怎么敢这样", "我受够了"),
        "happy": ("我太高兴了", "真是太好了", "我好喜欢"),
        "sad": ("我好想哭", "真怀念从前", "我的心都碎了"),
        "worried": ("我很害怕", "万一出错怎么办", "我一直担心"),
        "surprise": ("真不敢相信", "这是真的吗", "谁能想到呢"),
    },
}

OPENERS: Mapping[str, str] = {
    "neutral": "OK",
    "angry": "Hey",
    "happy": "Haha",
    "sad": "Sigh",
    "worried": "Oh no",
    "surprise": "Wow",
}

MARKS: Mapping[str, Mapping[str, str]] = {
    "en": {"neutral": ".", "angry": "!", "happy": "!", "sad": "...", "worried": "...", "surprise": "?!"},
    "zh": {"neutral": "。", "angry": "！", "happy": "！", "sad": "……", "worried": "……", "surprise": "？！"},
}


def write(shown: str, language: str, rng: np.random.Generator) -> str:
    """A transcript in ``language`` (``en`` or ``zh``) with two cues of class ``shown``."""
    event = EVENTS[language][rng.integers(len(EVENTS[language]))]
    cues = rng.permutation(CUES[language][shown])[:2].tolist()
    opener = [OPENERS[shown]] if rng.random() < 0.8 else []
    comma = "，" if language == "zh" else ", "
    parts = [event, *cues] if rng.random() < 0.6 else [cues[0], event, cues[1]]
    return _capital(comma.join(opener + parts)) + MARKS[language][shown]


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
