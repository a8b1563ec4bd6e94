"""The built-in data set: synthetic talking faces, made on this machine, nothing downloaded.

A clip of class ``y`` is generated in two steps. First each modality draws, independently given
``y``, the class it *shows*: the true one with probability ``CEILINGS[m]``, mostly the true class's
twin otherwise (:mod:`mer_plugins.datasets.sample_plan`). Then the medium is made from the shown
class, the speaker and noise alone:

==========  =========================================  ==========================================
modality    made by                                    what the shown class changes
==========  =========================================  ==========================================
speech      ``sample_voice``: pulses and formants      pitch, its range, slope, tremor; tempo;
                                                       loudness; brightness; breath
image       ``sample_face``: a drawn portrait          mouth, brows, eyelids
video       ``sample_scene``: a room with a person     sway, nod, tilt, sinking, leaning, hands
text        ``sample_text``: Chinese or English        two cue phrases and the final mark
==========  =========================================  ==========================================

So ``CEILINGS[m]`` is the Bayes accuracy of modality ``m`` and :func:`ceiling` that of any set of
modalities: fusion must win, and can never be perfect. Eight speakers with their own voice and looks
fill the train and unlabelled splits, two more the test split. A few clips lack sound, transcript,
person or picture. The same options give the same files on the same machine.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mer_core.plugin import EnvironmentProblem, Field, Options
from mer_plugins.datasets.sample_plan import CEILINGS, LABELS, ClipPlan, ceiling, plan_clips

if TYPE_CHECKING:
    from mer_core.plugin import Progress

__all__ = ["CEILINGS", "LABELS", "VERSION", "SampleDataset", "SampleOptions", "ceiling"]

VERSION = "1"
"""Raised whenever the same options would give other clips."""

FPS = 12
"""Frames per second of the videos."""

MANIFEST, ANSWERS, FACTS, README = "manifest.csv", "answers.csv", "dataset.json", "README.txt"


class SampleOptions(Options):
    """Options of the built-in data set."""

    clips: int = Field(120, ge=12, le=10000)
    """Number of clips over all splits."""
    seed: int = Field(0, ge=0)
    """Seed of every random choice."""
    seconds: float = Field(2.0, ge=0.5, le=30.0)
    """Mean length of a clip in seconds."""
    incomplete: float = Field(0.12, ge=0.0, le=0.8)
    """Share of train and unlabelled clips that lack sound, transcript, person or picture."""


class SampleDataset:
    """Makes the sample data set below a folder, once.

    The complete set appears under its final name in one step; a killed or second process leaves or
    meets either nothing or all of it.
    """

    def __init__(self, options: SampleOptions | None = None) -> None:
        self.options = SampleOptions.model_validate({}) if options is None else options

    def prepare(self, folder: Path, progress: Progress | None = None) -> Path:
        """Make the data below ``folder`` unless they are there; return the manifest's path.

        Raises:
            EnvironmentProblem: if ``folder`` cannot be written or video cannot be encoded.
        """
        home = Path(folder) / self._name()
        if not self._complete(home):
            self._make(home, progress)
        return home / MANIFEST

    def _name(self) -> str:
        o = self.options
        extra = "" if (o.seconds, o.incomplete) == (2.0, 0.12) else f"-{o.seconds:g}s-{o.incomplete:g}"
        return f"sample-{o.clips}-seed{o.seed}{extra}-v{VERSION}"

    def _facts(self, files: Mapping[str, int]) -> dict[str, Any]:
        return {
            "name": "sample",
            "synthetic": True,
            "version": VERSION,
            "options": self.options.model_dump(),
            "ceilings": dict(CEILINGS),
            "ceiling_together": round(ceiling(CEILINGS), 4),
            "files": dict(files),
        }

    def _complete(self, home: Path) -> bool:
        """Whether ``home`` holds these very data with every file at its full size."""
        try:
            facts = json.loads((home / FACTS).read_text("utf-8"))
            sizes = {name: (home / name).stat().st_size for name in facts["files"]}
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return bool(facts == json.loads(json.dumps(self._facts(sizes))))

    def _make(self, home: Path, progress: Progress | None) -> None:
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".sample-", dir=home.parent))
        except OSError as error:
            raise EnvironmentProblem(
                f"The sample data cannot be written below {home.parent}: {error.strerror}.",
                "Choose a folder that you may write to.",
            ) from error
        try:
            self._fill(draft, progress)
            self._publish(draft, home)
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _fill(self, draft: Path, progress: Progress | None) -> None:
        from mer_plugins.datasets import sample_write as write

        (draft / "clips").mkdir()
        plans = plan_clips(self.options.clips, self.options.seed, self.options.incomplete)
        rows = self._clips(plans, draft, progress)
        write.write_table(draft / MANIFEST, write.COLUMNS, rows)
        write.write_table(draft / ANSWERS, ["id", "label", *CEILINGS], [_answer(plan) for plan in plans])
        (draft / README).write_text(write.readme(self._facts({})), encoding="utf-8")
        names = sorted(path.relative_to(draft).as_posix() for path in draft.rglob("*") if path.is_file())
        write.write_facts(draft / FACTS, self._facts({name: (draft / name).stat().st_size for name in names}))

    def _clips(self, plans: tuple[ClipPlan, ...], draft: Path, progress: Progress | None) -> list[dict[str, str]]:
        """Make the media in a few threads (the encoder and OpenCV release the interpreter)."""
        make = partial(make_clip, folder=draft, options=self.options)
        rows: dict[int, dict[str, str]] = {}
        pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))
        try:
            jobs = {pool.submit(make, plan): plan.index for plan in plans}
            for done, job in enumerate(as_completed(jobs), 1):
                rows[jobs[job]] = job.result()
                if progress is not None:
                    progress("sample", done, len(plans), "making synthetic clips")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        return [rows[index] for index in sorted(rows)]

    def _publish(self, draft: Path, home: Path) -> None:
        """Give ``draft`` its final name, unless another process was faster."""
        draft.chmod(0o755)
        if home.exists() and not self._complete(home):
            shutil.rmtree(home, ignore_errors=True)
        try:
            draft.rename(home)
        except OSError:
            if not self._complete(home):
                raise


def make_clip(plan: ClipPlan, folder: Path, options: SampleOptions) -> dict[str, str]:
    """Write the media of one planned clip below ``folder`` and return its manifest row."""
    import numpy as np

    from mer_plugins.datasets import sample_text, sample_voice
    from mer_plugins.datasets import sample_write as write

    rng = np.random.default_rng([options.seed, 303, plan.index])
    frames = max(2, round(options.seconds * rng.uniform(0.85, 1.15) * FPS))
    voice = sample_voice.voice_of(plan.speaker, options.seed)
    sound = sample_voice.speak(plan.shown["speech"], voice, frames / FPS, rng)
    text = sample_text.write(plan.shown["text"], plan.language, rng)
    row = _row(plan, "" if plan.absent == "text" else text)
    if plan.absent == "voice-only":
        row["audio"] = f"clips/{plan.id}.wav"
        write.write_wav(folder / row["audio"], sound, sample_voice.RATE)
        return row
    row["video"] = f"clips/{plan.id}.mp4"
    heard = None if plan.absent == "speech" else sound
    _write_video(plan, folder / row["video"], frames, heard, options.seed, rng)
    return row


def _write_video(plan: ClipPlan, path: Path, frames: int, sound: Any, seed: int, rng: Any) -> None:
    import numpy as np

    from mer_plugins.datasets import sample_face, sample_scene, sample_voice
    from mer_plugins.datasets import sample_write as write

    times = np.arange(frames) / FPS
    if plan.absent == "image":
        images = sample_scene.empty_room(times, rng)
    else:
        looks = sample_face.looks_of(plan.speaker, seed)
        images = sample_scene.film(plan.shown["image"], plan.shown["video"], looks, times, rng)
    size = (sample_scene.WIDTH, sample_scene.HEIGHT)
    write.write_mp4(path, images, FPS, size, sound, sample_voice.RATE)


def _row(plan: ClipPlan, text: str) -> dict[str, str]:
    return {
        "id": plan.id,
        "text": text,
        "label": "" if plan.split == "unlabelled" else plan.label,
        "speaker": f"speaker{plan.speaker + 1}",
        "split": plan.split,
        "language": plan.language,
        "synthetic": "true",
    }


def _answer(plan: ClipPlan) -> dict[str, str]:
    return {"id": plan.id, "label": plan.label, **plan.shown}
