"""A model with what the tuning loop asks for, and clips whose colour is their class. Run as a script: two processes."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mer_core.plugin import Frames, Sample
from mer_plugins.image.preprocess import Recipe
from mer_plugins.video.tuning import Task, Tuning
from mer_plugins.video.tuning_batch import Batches, Mixing
from mer_plugins.video.tuning_frames import Store
from mer_plugins.video.tuning_group import Group, joined
from mer_plugins.video.tuning_options import TuningOptions
from mer_plugins.video.tuning_saved import Saved
from mer_plugins.video.tuning_views import Jitter, Views, kept_recipe

SIDE, FRAMES, CLASSES = 14, 4, 3
RECIPE = Recipe(SIDE, (SIDE, SIDE), 3, (0.5, 0.4, 0.45), (0.25, 0.26, 0.27))


class Toy(nn.Module):
    """Mean colours through a layer that is learnt; class vectors that are learnt, too."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.look, self.say = nn.Linear(3 * 4, 8), nn.Parameter(torch.randn(CLASSES, 8))
        self.encoded = 0

    def frames(self, pictures: Tensor) -> Tensor:
        return self.look(F.adaptive_avg_pool2d(pictures, 2).flatten(1))

    def classes(self) -> Tensor:
        self.encoded += 1
        return self.say * 1.0

    def compared(self, video: Tensor, words: Tensor) -> Tensor:
        return 10 * F.normalize(video, dim=-1) @ F.normalize(words, dim=-1).T

    def logits(self, video: Tensor) -> Tensor:
        return self.compared(video, self.classes())

    def learnable(self) -> dict[str, nn.Parameter]:
        return dict(self.named_parameters())

    def trained(self) -> dict[str, Tensor]:
        return {name: one.detach().clone() for name, one in self.named_parameters()}

    def load_trained(self, state: Mapping[str, Tensor]) -> None:
        self.load_state_dict(dict(state))


def clip(number: int, label: int, frames: int = 3 * FRAMES) -> Sample:
    """Noisy frames in the colour of ``label``."""
    rng = np.random.default_rng(number)
    colour = np.eye(3)[label] * 90 + 60
    images = np.clip(colour + rng.normal(0, 60, (frames, 20, 26, 3)), 0, 255).astype(np.uint8)
    return Sample(f"clip-{number}", {"frames": Frames(images, np.arange(frames) / 5)})


def clips(count: int = 24) -> tuple[list[Sample], Any]:
    labels = np.arange(count) % CLASSES
    return [clip(number, int(label)) for number, label in enumerate(labels)], labels


def tuning(
    model: Any,
    samples: Sequence[Sample],
    labels: Any,
    *,
    choose: Sequence[int] = (),
    folder: Path | None = None,
    tell: Any = lambda *_: None,
    key: str = "",
    at_once: int = 3,
    mixing: Mixing | None = None,
    jitter: Jitter | None = None,
    group: Group | None = None,
    **options: Any,
) -> Tuning:
    """A fit that can be run."""
    asked = TuningOptions(**{"epochs": 4, "batch": 6, "lr": 0.02, "warmup": 1, **options})
    store = Store(samples, kept_recipe(RECIPE, SIDE), 10**9, None if folder is None else folder / "frames")
    batches = Batches(
        store,
        Views(RECIPE, SIDE, jitter or Jitter()),
        np.asarray(labels),
        CLASSES,
        frames=FRAMES,
        size=asked.batch,
        at_once=at_once,
        smoothing=asked.smoothing,
        mixing=mixing,
        seed=5,
        group=group or joined("cpu"),
    )
    rows = np.setdiff1d(np.arange(len(labels)), choose)
    task = Task(rows, np.asarray(choose, np.int64))
    return Tuning(model, batches, task, asked, Saved(folder, key), tell)


def main(out: str, folder: str) -> None:
    """Two processes as a launcher starts them, but with one import of torch; ends well if the second was killed."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.optim.AdamW(Toy().parameters())  # imports as much again as torch has
    second = os.fork()  # nothing has started a thread yet
    os.environ["RANK"] = os.environ["LOCAL_RANK"] = "0" if second else "1"
    if not second:
        serve(out, folder)
        os._exit(0)
    try:
        serve(out, folder)
    except BaseException:
        os.kill(second, signal.SIGKILL)
        raise
    status = os.waitpid(second, 0)[1]
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        raise SystemExit(f"the second process ended with the status {status}")


def serve(out: str, folder: str) -> None:
    """The first process writes what all learnt; the second fits alone and dies of it."""
    model = Toy()
    samples, labels = clips()
    run = tuning(model, samples, labels, choose=range(6), batch=3)
    facts = run.run()
    if run.group.first:
        torch.save({"trained": model.trained(), "facts": facts, "size": run.group.size}, out)
    else:
        tuning(Toy(), samples, labels, choose=range(6), folder=Path(folder), tell=die, group=Group()).run()


def die(stage: str, done: int, total: int, note: str) -> None:
    """From one moment to the next."""
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
