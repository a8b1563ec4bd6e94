"""Which scored clips an extractor had learnt from, label and all: the same clip under another id included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mer_core.engine import ExtractorJob
from mer_core.engine.lookup import state_folder
from mer_core.errors import MediaError
from mer_core.inputs import AudioInput, FramesInput, TextInput, Transcribed
from mer_core.spec import digest
from mer_core.store import FeatureStore
from mer_core.store.digests import ContentHasher, cut
from mer_core.types import Clip
from mer_core.workflows.extract import Extraction
from mer_core.workflows.fold_tables import Fitted, Part
from mer_core.workflows.workspace import Workspace

if TYPE_CHECKING:
    from mer_core.aliases import IntArray


def clip_marks(clip: Clip, job: ExtractorJob, hasher: ContentHasher, *, here: bool = False) -> tuple[str, ...]:
    """Digests that a clip is known by, whatever is derived from it: of the sound and the pictures that ``job`` reads.

    A job that reads neither knows clips by their text. Different clips may say the same, so that within one manifest
    (``here``) the file counts, too.
    """
    own = job.of(clip).inputs.values()
    kinds = {type(item) for item in own}
    files = {clip.sound} if kinds & {AudioInput, Transcribed} else set()
    files |= {clip.video} if FramesInput in kinds else set()
    try:
        media = [cut(file, clip, hasher) for file in files if file is not None]
    except MediaError:
        return ()
    if media or TextInput not in kinds:
        return tuple(digest(one, 32) for one in media)
    place = [str(clip.video or clip.audio or ""), clip.start, clip.end] if here else []
    return (digest(["text", clip.text, *place], 32),)


@dataclass(frozen=True, slots=True)
class Seen:
    """Compares clips with what the fits of a run had learnt from."""

    extraction: Extraction
    hasher: ContentHasher
    kept: dict[tuple[str, int, bool], tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, extraction: Extraction, space: Workspace) -> Seen:
        """For the clips of ``extraction``."""
        store = FeatureStore(space.cache.features)
        return cls(extraction, ContentHasher(state_folder(space.cache.state, store), space.verify))

    def count(self, fits: Mapping[str, Sequence[Fitted]], rows: IntArray, folds: IntArray) -> int:
        """How many of ``rows`` were learnt from by a fit that makes the features they are scored on.

        Args:
            folds: [N] the fold that scores each of ``rows``; -1 for all folds together.
        """
        known = np.zeros(len(rows), dtype=np.bool_)
        jobs = {job.name: job for job in self.extraction.learners}
        for name, own in fits.items():
            for part, state in own:
                asked = ~known & ((folds < 0) | (part.fold is None) | (folds == part.fold))
                if part.inner or not asked.any():
                    continue
                given = not len(part.train)
                learnt = state.keys | state.seen if given else self._learnt(jobs[name], part)
                found = [self._marks(jobs[name], row, given) for row in rows[asked].tolist()]
                known[asked] = [not learnt.isdisjoint(marks) for marks in found]
        return int(known.sum())

    def _learnt(self, job: ExtractorJob, part: Part) -> set[str]:
        """The marks of the clips of a fit of this run."""
        return {mark for row in part.train.tolist() for mark in self._marks(job, row, False)}

    def _marks(self, job: ExtractorJob, row: int, given: bool) -> tuple[str, ...]:
        """What the clip of ``row`` is known by; found once."""
        found = self.kept.get((job.name, row, given))
        if found is None:
            found = self.kept[job.name, row, given] = self._find(job, row, given)
        return found

    def _find(self, job: ExtractorJob, row: int, given: bool) -> tuple[str, ...]:
        """The marks; none, where the clip has no features."""
        key = self.extraction.report.keys[job.name][row]
        if key is None:
            return ()
        marks = clip_marks(self.extraction.table.clips[row], job, self.hasher, here=not given)
        return (*marks, key) if given or not marks else marks
