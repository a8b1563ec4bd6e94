"""What differs between the kinds of packages that can be written, besides their templates."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from mer_core.errors import UsageError

MODALITIES = ("speech", "image", "video", "text")


@dataclass(frozen=True, slots=True)
class Kind:
    """One set of templates.

    Args:
        name: the plugin kind.
        folder: its folder among the templates.
        summary: one line for ``mer plugins list``, the same in every file.
        packages: what the class imports besides mer.
        run: the arguments of the command that uses the plugin called ``{name}``.
        modality: of an extractor, else empty.
        note: what must be said about using it.
        files: more modules of the package, with what is in them.
    """

    name: str
    folder: str
    summary: str
    packages: tuple[str, ...]
    run: str
    modality: str = ""
    note: str = ""
    files: tuple[tuple[str, str], ...] = ()


_EXTRACTED = {
    "speech": "loudness and zero crossings of short frames",
    "image": "colours and edges of aligned faces",
    "video": "how much the picture changes, and where",
    "text": "counts of words, letters and marks",
}
_DERIVED = (
    'An extractor of any package reads it by declaring `inputs={{"activity": DerivedInput("{name}")}}` in its spec,'
    ' and gets it by `sample.derived("activity")`.'
)


def _extractor(modality: str) -> Kind:
    others = modality if modality == "text" else f"{modality},text"
    run = f"--extractor {modality}={{name}} --modalities {others if modality != 'text' else 'speech,text'}"
    return Kind("extractor", f"extractor-{modality}", _EXTRACTED[modality], ("numpy",), run, modality)


KINDS = {
    **{("extractor", modality): _extractor(modality) for modality in MODALITIES},
    ("fusion", ""): Kind("fusion", "fusion", "gated mean of encoded streams", ("torch",), "--fusion {name}"),
    ("trainer", ""): Kind(
        "trainer",
        "trainer",
        "one member per fold, trained one after the other",
        ("numpy", "safetensors", "torch"),
        "--trainer {name}",
        files=(("model", "what training returns: predicts, saves itself, is loaded again"),),
    ),
    ("dataset", ""): Kind(
        "dataset",
        "dataset",
        "tones that rise or fall, made on this machine",
        ("numpy",),
        "--data {name} --modalities speech,text",
    ),
    ("deriver", ""): Kind("deriver", "deriver", "when there is sound in a clip", ("numpy",), "", note=_DERIVED),
}


def find_kind(kind: str, modality: str | None, name: str) -> Kind:
    """The templates for ``kind``; without ``modality`` an extractor's is guessed from its ``name``.

    Raises:
        UsageError: no such kind or modality, or a modality for a kind that has none.
    """
    names = sorted({known for known, _ in KINDS})
    if kind not in names:
        raise UsageError(f"no package can be written for the kind {kind!r}.", _closest(kind, names))
    if kind != "extractor":
        if modality:
            raise UsageError(f"a {kind} has no modality.", "Leave out --modality.")
        return KINDS[kind, ""]
    chosen = modality or next((one for one in MODALITIES if one in name.split("-")), MODALITIES[0])
    if chosen not in MODALITIES:
        hint = f"{_closest(chosen, MODALITIES)} For another one, write one of these and change its spec."
        raise UsageError(f"no extractor can be written for the modality {chosen!r}.", hint)
    return KINDS[kind, chosen]


def _closest(word: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(known)}."
