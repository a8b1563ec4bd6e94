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
        modality: of an extractor, or what a deriver reads; else empty.
        note: what must be said about using it.
        files: more modules of the package, with what is in them.
        entry: the module that the entry point names.
        reading: of a deriver, what an extractor writes that reads the artefact ``{name}``, and where.
    """

    name: str
    folder: str
    summary: str
    packages: tuple[str, ...]
    run: str
    modality: str = ""
    note: str = ""
    files: tuple[tuple[str, str], ...] = ()
    entry: str = "specs"
    reading: tuple[tuple[str, str], ...] = ()


_EXTRACTED = {
    "speech": "loudness and zero crossings of short frames",
    "image": "colours and edges of aligned faces",
    "video": "how much the picture changes, and where",
    "text": "counts of words, letters and marks",
}
_DERIVED = {"speech": ("when there is sound in a clip", "activity"), "text": ("sentences of a transcript", "sentences")}
"""What the derivers make, and a name under which an extractor may ask for it."""


def _extractor(modality: str) -> Kind:
    others = modality if modality == "text" else f"{modality},text"
    run = f"--extractor {modality}={{name}} --modalities {others if modality != 'text' else 'speech,text'}"
    return Kind("extractor", f"extractor-{modality}", _EXTRACTED[modality], ("numpy",), run, modality)


def _deriver(modality: str) -> Kind:
    summary, key = _DERIVED[modality]
    reading = (
        (f'inputs={{{{"{key}": DerivedInput("{{name}}")}}}}', "in its spec"),
        (f'sample.derived("{key}")', "in its extract"),
    )
    (spec, _), (call, _) = reading
    note = f"An extractor of any package reads it by declaring `{spec}` in its spec, and gets it by `{call}`."
    return Kind("deriver", f"deriver-{modality}", summary, ("numpy",), "", modality, note, reading=reading)


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
    **{("deriver", modality): _deriver(modality) for modality in _DERIVED},
    ("listener", ""): Kind(
        "listener",
        "listener",
        "writes one CSV line per fold and run",
        (),
        "--modalities speech,text",
        note="Once installed it hears every run on this machine, and adds to `{name}.csv` in the folder that the"
        " run's own folder is in. `mer run --no-listeners` tells it nothing.",
        entry="listener",
    ),
}


def find_kind(kind: str, modality: str | None, name: str) -> Kind:
    """The templates for ``kind``; without ``modality`` that of an extractor or deriver is guessed from its ``name``.

    Raises:
        UsageError: no such kind or modality, or a modality for a kind that has none.
    """
    names = sorted({known for known, _ in KINDS})
    if kind not in names:
        raise UsageError(f"no package can be written for the kind {kind!r}.", _closest(kind, names))
    known = [one for of, one in KINDS if of == kind]
    if known == [""]:
        if modality:
            raise UsageError(f"a {kind} has no modality.", "Leave out --modality.")
        return KINDS[kind, ""]
    chosen = modality or next((one for one in known if one in name.split("-")), known[0])
    if chosen not in known:
        hint = f"{_closest(chosen, known)} For another one, write one of these and change its spec."
        raise UsageError(f"no {kind} can be written for the modality {chosen!r}.", hint)
    return KINDS[kind, chosen]


def _closest(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(known)}."
