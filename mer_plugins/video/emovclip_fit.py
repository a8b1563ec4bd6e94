"""One fit of EmoVCLIP: what is put together before its training begins, and what is cleared away after."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mer_core.plugin import DataError, Sample, Supervision
from mer_plugins.image.preprocess import Recipe
from mer_plugins.video.emovclip_options import EmoVClipOptions
from mer_plugins.video.prompts import PromptedClip
from mer_plugins.video.tuning import Task, Tuning
from mer_plugins.video.tuning_batch import Batches, Mixing
from mer_plugins.video.tuning_frames import Store
from mer_plugins.video.tuning_group import Group, joined
from mer_plugins.video.tuning_inner import held_out
from mer_plugins.video.tuning_saved import Saved
from mer_plugins.video.tuning_views import Jitter, Views, kept_recipe

INNER = 7
"""Of the seed of the inner part."""

BYTES = {"float32": 80, "bfloat16": 44, "float16": 44}
"""Kept for the gradients by one layer, per token and column: 57 and 29 were counted on a CPU; rounded up."""

MEMORY = 4e9
"""Bytes that a step may take on a CPU."""

SHARE = 0.25
"""Of the machine's memory, for frames; of a disk's free space, twice that."""


def fit_prompts(
    clip: PromptedClip,
    options: EmoVClipOptions,
    recipe: Recipe,
    samples: Sequence[Sample],
    supervision: Supervision,
    device: str,
    words: Sequence[str],
) -> dict[str, Any]:
    """Train what ``clip`` has to learn, and say how it went.

    Raises:
        DataError: no clip has a frame.
    """
    group, dtype = joined(device), options.compute_dtype(device)
    side = clip.image_size[0]
    key = fit_key(options, supervision, words, dtype, group)
    store = Store(samples, kept_recipe(recipe, side), *_room(options, supervision.folder, key, group))
    views = Views(recipe, side, Jitter(options.flip, options.colour, grey=options.grey, crops=options.crops))
    batches = Batches(
        store,
        views,
        supervision.labels,
        len(supervision.classes),
        frames=options.frames,
        size=options.batch,
        at_once=clips_at_once(clip, options, device, dtype),
        smoothing=options.smoothing,
        mixing=Mixing(options.mixup, options.cutmix),
        seed=supervision.seed,
        device=device,
        group=group,
    )
    _save_memory(clip, options.checkpointing)
    shared = options.scheme != "cocoop"
    task, saved = _task(options, supervision), Saved(supervision.folder, key)
    facts = Tuning(clip, batches, task, options, saved, supervision.tell, shared=shared, dtype=dtype).run()
    if len(store.lost) == len(supervision.labels):
        raise DataError("no clip to learn from has a frame.", "Check the videos: mer check --data ...")
    group.total([0.0])  # nobody reads frames any more
    if group.first:
        store.clear()
    return {**facts, "clips": len(supervision.labels), "without_frames": len(store.lost)}


def fit_key(options: EmoVClipOptions, told: Supervision, words: Sequence[str], dtype: str, group: Group) -> str:
    """Digest of all that a fit depends on, but for the samples' content."""
    chosen = {**options.model_dump(mode="json"), **options.fingerprint(), "dtype": dtype, "processes": group.size}
    about = [chosen, np.asarray(told.labels).tolist(), told.classes, told.groups, told.seed, list(words)]
    return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()


def _task(options: EmoVClipOptions, told: Supervision) -> Task:
    labels = np.asarray(told.labels)
    rng = np.random.default_rng([told.seed, INNER])
    chosen = held_out(labels, told.groups, options.inner, rng) if options.select == "inner" else labels[:0]
    return Task(np.setdiff1d(np.arange(len(labels)), chosen), chosen)


def _room(options: EmoVClipOptions, top: Path | None, key: str, group: Group) -> tuple[int, Path | None]:
    """Bytes of frames that this process may keep, and where."""
    limit = options.cache_gb * 1e9
    if top is None:
        return int(min(limit, SHARE * _memory()) / group.size), None
    top.mkdir(parents=True, exist_ok=True)
    folder = top / f"frames-{key[:12]}"
    if group.first:
        for other in set(top.glob("frames-*")) - {folder}:
            shutil.rmtree(other, ignore_errors=True)
    return int(min(limit, 2 * SHARE * shutil.disk_usage(top).free) / group.size), folder


def _memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def clips_at_once(clip: PromptedClip, options: EmoVClipOptions, device: str, dtype: str) -> int:
    """Clips of a step that are computed together: as the options say, or as fit into the memory that is free."""
    if options.accumulate:
        return -(-options.batch // options.accumulate)
    free = MEMORY
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        free = 0.8 * torch.cuda.mem_get_info(device)[0]
    visual: Any = clip.model.visual
    tokens, width = visual.positional_embedding.shape
    layers = len(visual.transformer.resblocks)
    picture = (tokens + options.tokens) * width * BYTES[dtype]
    each = picture * (1 + layers / 10) if options.checkpointing else picture * layers
    if options.scheme == "full":
        each *= 2
    return max(1, min(options.batch, int(free / (each * options.frames))))


def _save_memory(clip: PromptedClip, wanted: bool) -> None:
    for tower in (clip.model.visual.transformer, clip.model.transformer):
        tower.grad_checkpointing = wanted
