"""Tunes what a model has to learn to labelled clips: steps, the choice of an epoch, and going on after a kill.

Of the model only ``learnable`` is changed. A step's gradients are added up over its parts and over all processes, so
that neither changes what is learnt beyond rounding; the texts of the classes are encoded once per step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mer_core.plugin import IntArray
from mer_plugins.video.tuning_batch import Batches, Step
from mer_plugins.video.tuning_options import TuningOptions
from mer_plugins.video.tuning_saved import Saved
from mer_plugins.video.tuning_schedule import Schedule

STAGE = "fit"


class Tunable(Protocol):
    """What can be tuned; :class:`mer_plugins.video.prompts.PromptedClip` is."""

    def frames(self, pictures: Tensor) -> Tensor:
        """Embeddings [B, D] of pictures [B, 3, h, w]."""
        ...

    def classes(self) -> Tensor:
        """Embeddings [C, D] of the classes."""
        ...

    def compared(self, video: Tensor, words: Tensor) -> Tensor:
        """Scores [B, C] of videos [B, D] and classes [C, D]."""
        ...

    def logits(self, video: Tensor) -> Tensor:
        """The same with the classes' own embeddings."""
        ...

    def learnable(self) -> Mapping[str, nn.Parameter]:
        """What is learnt, by name."""
        ...

    def trained(self) -> dict[str, Tensor]:
        """Copies of it on the CPU."""
        ...

    def load_trained(self, state: Mapping[str, Tensor]) -> None:
        """Put copies back."""
        ...


@dataclass(frozen=True, slots=True)
class Task:
    """Rows that are learnt from, and rows on which an epoch is chosen (empty: the last one is kept)."""

    train: IntArray
    choose: IntArray


@dataclass(slots=True)
class Place:
    """Where a fit stands: the next step, the loss of this epoch's steps so far, what was best, what was seen."""

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    best: dict[str, Any] | None = None
    losses: list[float] | None = None
    scores: list[float] | None = None


class Tuning:
    """One fit of ``model`` to ``task``.

    Args:
        shared: the classes' texts are the same for all videos, so that they are encoded once per step.
        dtype: name of the floating-point type of matrix products.
        tell: is told the stage, how many steps are done, of how many, and a note.
    """

    def __init__(
        self,
        model: Tunable,
        batches: Batches,
        task: Task,
        options: TuningOptions,
        saved: Saved,
        tell: Callable[[str, int, int, str], None],
        *,
        shared: bool = True,
        dtype: str = "float32",
    ) -> None:
        self.model, self.batches, self.task, self.options = model, batches, task, options
        self.saved, self.shared, self.dtype = saved, shared, dtype
        self.group = batches.group
        self.kind = batches.device.partition(":")[0]
        self.steps = batches.steps(task.train)
        self.epochs = options.epochs_of(self.steps)
        total = self.steps * self.epochs
        self.schedule = Schedule(options.lr, total, min(round(options.warmup * self.steps), total // 2))
        self.weights = list(model.learnable().values())
        betas = options.beta1, options.beta2
        self.optimizer = torch.optim.AdamW(
            self.weights, options.lr, betas=betas, eps=options.epsilon, weight_decay=options.weight_decay
        )
        self.scaler = torch.amp.GradScaler(self.kind, enabled=dtype == "float16" and self.kind == "cuda")
        self.place = Place(losses=[], scores=[])
        self._tell, self._last = tell, time.monotonic()

    def run(self) -> dict[str, Any]:
        """Learn to the end, leave the chosen epoch's weights in the model, and say how it went."""
        self._go_on(self.group.agreed(self.saved.load() if self.group.first else None))
        while self.place.epoch < self.epochs:
            self._epoch()
        best = self.place.best
        if best is not None:
            self.model.load_trained(best["trained"])
        return {
            "selection": "last" if best is None else "inner",
            "epoch": self.epochs if best is None else best["epoch"],
            "epochs": self.epochs,
            "steps": self.steps * self.epochs,
            "held_out": len(self.task.choose),
            "losses": self.place.losses,
            "inner_accuracy": self.place.scores,
        }

    def _epoch(self) -> None:
        at = self.place
        for step in self.batches.epoch(at.epoch, self.task.train, at.step):
            at.loss += self._step(step) / self.steps
            at.step += 1
            if time.monotonic() - self._last > 60 * self.options.save_minutes:
                self._save()
            if at.step < self.steps:
                self._say(f"epoch {at.epoch + 1} of {self.epochs}, loss {at.loss * self.steps / at.step:.3f}")
        assert at.losses is not None
        at.losses.append(round(at.loss, 6))
        note = f"epoch {at.epoch + 1} of {self.epochs}, loss {at.loss:.3f}{self._choose()}"
        at.epoch, at.step, at.loss = at.epoch + 1, 0, 0.0
        self._save()
        self._say(note)

    def _step(self, step: Step) -> float:
        """One step of the optimiser; the loss per clip."""
        at = self.place
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.at(at.epoch * self.steps + at.step + 1)
        loss = self._gradients(step)
        grads = [torch.zeros_like(one) if one.grad is None else one.grad for one in self.weights]
        self.group.add([*grads, loss])
        for one, grad in zip(self.weights, grads, strict=True):
            one.grad = grad
        if self.options.clip > 0:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.weights, self.options.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss)

    def _gradients(self, step: Step) -> Tensor:
        """Gradients of this process's clips, as a share of the step's loss; that share of the loss."""
        with self._computing():
            words = self.model.classes().float() if self.shared else None
        held = None if words is None else words.detach().requires_grad_(words.requires_grad)
        total = torch.zeros((), device=self.batches.device)
        for pictures, targets in step.parts:
            loss = -(targets * self._scores(pictures, held).log_softmax(dim=-1)).sum() / len(step.rows)
            self.scaler.scale(loss).backward()
            total += loss.detach()
        if words is not None and held is not None and held.grad is not None:
            words.backward(held.grad)
        return total

    def _scores(self, pictures: Tensor, words: Tensor | None) -> Tensor:
        """float32 [b, C] of pictures [b, T, 3, h, w]: frames are averaged as they are."""
        with self._computing():
            frames = self.model.frames(pictures.flatten(0, 1)).float()
            video = frames.unflatten(0, pictures.shape[:2]).mean(dim=1)
            scores = self.model.logits(video) if words is None else self.model.compared(video, words)
        return scores.float()

    def _computing(self) -> AbstractContextManager[None]:
        return nullcontext() if self.dtype == "float32" else torch.autocast(self.kind, getattr(torch, self.dtype))

    def _choose(self) -> str:
        """Keep this epoch's weights if they are the best so far; a note on how good they are."""
        if not len(self.task.choose):
            return ""
        at = self.place
        right, loss = self._judged()
        if at.best is None or (right, -loss) > (at.best["right"], -at.best["loss"]):
            at.best = {"epoch": at.epoch + 1, "right": right, "loss": loss, "trained": self.model.trained()}
        assert at.scores is not None
        at.scores.append(round(right, 6))
        return f", inner {right:.1%}"

    @torch.no_grad()
    def _judged(self) -> tuple[float, float]:
        """Accuracy and loss on the inner part."""
        with self._computing():
            words = self.model.classes() if self.shared else None
        right = loss = count = 0.0
        for pictures, labels in self.batches.plain(self.task.choose):
            scores = self._scores(pictures, words)
            right += float((scores.argmax(dim=-1) == labels).sum())
            loss += float(nn.functional.cross_entropy(scores, labels, reduction="sum"))
            count += len(labels)
        right, loss, count = self.group.total([right, loss, count])
        return right / max(1.0, count), loss / max(1.0, count)

    def _go_on(self, found: Mapping[str, Any] | None) -> None:
        if found is None:
            if self.saved.note:
                self._say(self.saved.note)
            return
        self.model.load_trained(found["trained"])
        self.optimizer.load_state_dict(found["optimizer"])
        self.scaler.load_state_dict(found["scaler"])
        self.place = Place(**found["place"])
        steps = f" and {self.place.step} of {self.steps} steps" if self.place.step else ""
        self._say(f"going on after {self.place.epoch} of {self.epochs} epochs{steps}")

    def _save(self) -> None:
        self._last = time.monotonic()
        if not self.group.first:
            return
        at = self.place
        self.saved.save(
            {
                "trained": self.model.trained(),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "place": {name: getattr(at, name) for name in Place.__dataclass_fields__},
            }
        )

    def _say(self, note: str) -> None:
        if self.group.first:
            self._tell(STAGE, self.place.epoch * self.steps + self.place.step, self.steps * self.epochs, note)
