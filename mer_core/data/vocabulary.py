"""The spelling of emotion labels: one visible table, and the rules for using it.

Labels of one manifest are renamed to the table's spelling ("anger" becomes "angry") unless that
would merge two labels that the manifest tells apart: those stay as they are, with a note that names
the remedy. Nothing here guesses: what is not in the table keeps its own spelling.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from mer_core.errors import UsageError

MER2024_ORDER = ("neutral", "angry", "happy", "sad", "worried", "surprise")
"""Class order of the MER2024 challenge."""

VOCABULARY: Mapping[str, tuple[str, ...]] = {
    "neutral": ("neutrality", "neu", "中性", "中立"),
    "angry": ("anger", "ang", "愤怒", "生气", "气愤", "恼怒", "怒"),
    "happy": ("happiness", "hap", "joy", "joyful", "高兴", "开心", "快乐", "喜悦", "喜"),
    "sad": ("sadness", "悲伤", "伤心", "难过", "哀", "悲"),
    "worried": ("worry", "worrying", "wor", "担心", "担忧", "忧虑"),
    "surprise": ("surprised", "sur", "惊讶", "惊奇", "吃惊", "惊"),
    "calm": ("calmness", "平静", "冷静"),
    "fear": ("fearful", "fea", "恐惧", "害怕", "惧"),
    "disgust": ("disgusted", "dis", "厌恶"),
    "contempt": ("contemptuous", "轻蔑", "蔑视"),
    "excited": ("excitement", "exc", "兴奋", "激动"),
    "frustrated": ("frustration", "fru", "沮丧"),
    "bored": ("boredom", "无聊"),
    "other": ("others", "oth", "其他", "其它"),
    "positive": ("pos", "积极", "正面"),
    "negative": ("neg", "消极", "负面"),
}
"""Spelling used by mer -> other spellings of the same label.

Covers the names of MER2023-2026, MELD and RAVDESS, the codes of CREMA-D and IEMOCAP, and Chinese.
Case, and spaces, hyphens or underscores around and inside a label do not matter.
"""

MISSPELLINGS: Mapping[str, tuple[str, ...]] = {
    "neutral": ("netural", "nuetral", "neutrual", "nautral"),
    "angry": ("angray", "agnry", "angery"),
    "happy": ("hapy", "happpy", "happines"),
    "sad": ("sadnes",),
    "worried": ("worred", "woried"),
    "surprise": ("superise", "suprise", "surprize", "suprised", "surpise"),
    "fear": ("fearfull", "feer"),
    "disgust": ("disgusst", "digust"),
}
"""Misspellings met in published data sets and outputs; corrected like synonyms, and reported."""


@dataclass(frozen=True, slots=True)
class Typo:
    """A label that is probably a misspelling of ``meant``, written by ``count`` clips."""

    label: str
    meant: str
    count: int


def clean_label(label: str) -> str:
    """``label`` without outer white space and in one Unicode form (NFKC)."""
    return unicodedata.normalize("NFKC", label).strip()


def canonical(label: str) -> str | None:
    """The table's spelling of ``label``, None if the table does not know it."""
    return _SPELLINGS.get(_key(label)) or _CORRECTIONS.get(_key(label))


def normalise_labels(
    labels: Iterable[str], label_map: Mapping[str, str] | None = None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """How each label of one manifest is spelt from here on, with notes on what was done.

    ``label_map`` (the user's own renaming) comes first and is taken literally; an empty target
    drops the label. Labels that the table would merge stay apart.

    Args:
        labels: all labels of the manifest; repeated ones say which spelling is the usual one.

    Returns:
        ``(mapping, notes)``: mapping from each distinct label to its spelling, "" where dropped.
    """
    asked = {clean_label(old): clean_label(new) for old, new in (label_map or {}).items()}
    written = Counter(labels)
    distinct = sorted(written)
    mapping = {label: asked.get(clean_label(label), clean_label(label)) for label in distinct}
    pinned = {mapping[label] for label in distinct if clean_label(label) in asked}
    counts = Counter[str]()
    for label, number in written.items():
        counts[mapping[label]] += number
    apart = collisions(counts)
    kept = {label for group in apart for label in group} | pinned
    renamed = {label: name if name in kept else canonical(name) or name for label, name in mapping.items()}
    notes = collision_notes([group for group in apart if not set(group) <= pinned], counts)
    return renamed, (*notes, *_rename_notes(renamed, asked), *_unused_notes(asked, distinct))


def refuse_circles(label_map: Mapping[str, str]) -> None:
    """Refuse renamings that lead back to where they began; ``joy=joy`` keeps a spelling and is none.

    Raises:
        UsageError: naming the labels.
    """
    asked = {clean_label(old): clean_label(new) for old, new in label_map.items()}
    for label in asked:
        path = [label]
        while (step := asked.get(path[-1])) is not None and step not in path:
            path.append(step)
        if step == label and len(path) > 1:
            circle = " ".join(f"--label {quoted(f'{old}={asked[old]}')}" for old in path)
            raise UsageError(f"{circle}: these labels are renamed in a circle.", "Choose one of them for all.")


def collisions(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Groups of different labels that the table spells the same, e.g. ``[("anger", "angry")]``."""
    groups: dict[str, set[str]] = {}
    for label in labels:
        if label:
            groups.setdefault(canonical(label) or _key(label), set()).add(label)
    return [tuple(sorted(group)) for _, group in sorted(groups.items()) if len(group) > 1]


def class_order(labels: Iterable[str]) -> tuple[str, ...]:
    """Classes in the order they are saved in.

    MER2024's order where all labels are in it; else the order of :data:`VOCABULARY`, then numbers
    by size, then the alphabet. Classes that no clip has are not invented.
    """
    return tuple(sorted(set(labels), key=_rank))


def find_typos(counts: Mapping[str, int]) -> list[Typo]:
    """Labels that look like a misspelling of another label or of a word of the table.

    A label is suspected if it is in :data:`MISSPELLINGS`, or if it is unknown, at least four letters
    long, and one edit (two from seven letters on) away from a word of the table or from a label at
    least five times as frequent. An edit adds, drops, changes or swaps letters; labels that differ in
    digits ("rater1", "rater2") are never suspected.

    Args:
        counts: how many clips have each label.
    """
    found = [_typo_of(label, counts) for label in sorted(counts)]
    meant = merge_targets(counts, found)
    return [replace(typo, meant=meant[typo.label]) for typo in found if typo is not None]


def merge_targets(counts: Mapping[str, int], typos: Iterable[Typo | None] | None = None) -> dict[str, str]:
    """What each doubtful label is best merged into: one label each, which is not doubtful itself.

    Args:
        counts: how many clips have each label.
        typos: what :func:`find_typos` suspects, where that is known already.
    """
    groups = collisions(counts)
    suspected = [_typo_of(label, counts) for label in counts] if typos is None else typos
    keep = {name: _usual(group, counts) for group in groups for name in (*group, canonical(group[0])) if name}
    found = {typo.label: typo.meant for typo in suspected if typo is not None}
    found |= {name: usual for name, usual in keep.items() if name != usual}
    return {name: _followed(name, found) for name in found}


def _usual(group: Iterable[str], counts: Mapping[str, int]) -> str:
    """The spelling to keep of labels that may mean the same: the table's, else the most frequent that is no typo."""
    names = sorted(group)
    meant = canonical(names[0])
    written = [name for name in names if _key(name) not in _CORRECTIONS]
    return meant if meant and (meant in names or not written) else max(written, key=lambda name: counts[name])


def _followed(label: str, found: Mapping[str, str]) -> str:
    """The end of the chain that begins at ``label``."""
    path = [label]
    while path[-1] in found and found[path[-1]] not in path:
        path.append(found[path[-1]])
    return path[-1]


def _typo_of(label: str, counts: Mapping[str, int]) -> Typo | None:
    if _key(label) in _SPELLINGS:
        return None
    if _key(label) in _CORRECTIONS:
        return Typo(label, _CORRECTIONS[_key(label)], counts[label])
    frequent = [
        other
        for other in counts
        if counts[other] >= 5 * counts[label] and other != label and _key(other) not in _CORRECTIONS
    ]
    for other in [*sorted(frequent, key=lambda name: -counts[name]), *_SPELLINGS]:
        if _looks_like(_key(label), _key(other)):
            return Typo(label, other, counts[label])
    return None


def _looks_like(word: str, other: str) -> bool:
    shorter = min(len(word), len(other))
    letters = any(map(str.isalpha, word))
    if shorter < 4 or not letters or word == other or _digits(word) != _digits(other):
        return False
    return edit_distance(word, other) <= (2 if shorter >= 7 else 1)


def edit_distance(one: str, two: str) -> int:
    """Fewest letters to add, drop, change or swap with the next one (optimal string alignment)."""
    before: list[int] = []
    above = list(range(len(two) + 1))
    for i, letter in enumerate(one, 1):
        row = [i]
        for j, other in enumerate(two, 1):
            best = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == two[j - 2] and one[i - 2] == other:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, above = above, row
    return above[-1]


def _digits(word: str) -> str:
    return re.sub(r"\D", "", word)


def _key(label: str) -> str:
    text = clean_label(label).casefold()
    return re.sub(r"[\s_\-]+", "", text) if any(map(str.isalpha, text)) else text


def _rank(label: str) -> tuple[int, float, str]:
    known = canonical(label)
    if known is not None:
        return list(VOCABULARY).index(known), 0.0, label
    if re.fullmatch(r"[+-]?\d{1,15}(\.\d{1,15})?", label):
        return len(VOCABULARY), float(label), label
    return len(VOCABULARY) + 1, 0.0, label


def collision_notes(groups: Iterable[tuple[str, ...]], counts: Mapping[str, int]) -> list[str]:
    """What was done about each group of labels that may mean the same, and the flags that merge them.

    Args:
        counts: how many clips have each label of the data, those of the groups included.
    """
    groups = list(groups)
    meant = merge_targets(counts) if groups else {}
    return [_collision_note(group, meant) for group in groups]


def _collision_note(group: tuple[str, ...], meant: Mapping[str, str]) -> str:
    flags = " ".join(f"--label {quoted(f'{name}={meant[name]}')}" for name in group if name in meant)
    names = " and ".join(repr(name) for name in group)
    return f"labels {names} may mean the same; they are kept as separate classes. To merge them: {flags}"


def quoted(text: str) -> str:
    """``text`` as one word of a command line."""
    return text if re.fullmatch(r"[\w.=:/+-]+", text) else f'"{text}"'


def _rename_notes(renamed: Mapping[str, str], asked: Mapping[str, str]) -> list[str]:
    """What was renamed unasked, and what was dropped."""
    own = {clean_label(old): new for old, new in renamed.items() if clean_label(old) not in asked}
    changed = [f"{old!r} as {new!r}" for old, new in own.items() if new and old != new]
    dropped = [repr(old) for old, new in renamed.items() if not new]
    notes = [f"labels read: {', '.join(changed)}"] if changed else []
    return [*notes, f"labels dropped as asked: {', '.join(dropped)}"] if dropped else notes


def _unused_notes(asked: Mapping[str, str], labels: Iterable[str]) -> list[str]:
    present = {clean_label(label) for label in labels}
    unused = [repr(label) for label in asked if label not in present]
    return [f"the label map names {', '.join(unused)}, which no clip has"] if unused else []


_SPELLINGS = {_key(word): name for name, words in VOCABULARY.items() for word in (name, *words)}
_CORRECTIONS = {_key(word): name for name, words in MISSPELLINGS.items() for word in words}
