"""Specs of the fusion plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import FusionSpec

BOTH = ("clip", "frame")

_WIDE = {"hidden": (64, 128, 256), "dropout": (0.2, 0.3, 0.4, 0.5)}
_LITTLE = {"dropout": (0.0, 0.1, 0.2, 0.3)}
_SHARE = (0.0, 0.1, 0.2)
SEARCH = {
    "tfn": {"hidden": (64, 128), "dropout": _WIDE["dropout"]},
    "lmf": {"hidden": (32, 64, 128, 256), "rank": (3, 4, 5, 6), "dropout": _WIDE["dropout"]},
    "misa": {**_WIDE, "similarity": _SHARE, "difference": _SHARE, "reconstruction": _SHARE},
    "mmim": {**_WIDE, **_LITTLE, "cpc_layers": (1, 2, 3, 4), "nce": _SHARE, "likelihood": _SHARE},
    "ef-lstm": {"hidden": (128, 256, 512, 1024), "layers": (2, 3, 4), "dropout": _WIDE["dropout"]},
    "mult": {**_WIDE, **_LITTLE, "layers": (2, 4, 6), "kernel": (1, 3)},
}
"""What is drawn from by default: the grids of MERBench (arXiv 2401.03429), for others that of its attention fusion."""


def _fusion(
    name: str, module: str, cls: str, summary: str, *, levels: tuple[str, ...] = BOTH, stackable: bool = True
) -> FusionSpec:
    """A fusion of the shelf.

    ``stackable``: ``torch.func.vmap`` can run its graph, over vectors where it reads both: frames go through an LSTM.
    """
    return FusionSpec(
        name=name,
        target=f"mer_plugins.fusion.{module}:{cls}",
        options=f"mer_plugins.fusion.options:{cls}Options",
        summary=summary,
        stackable=stackable,
        levels=levels,
        search=SEARCH.get(name, _WIDE),
    )


FUSIONS = [
    _fusion("attention", "attention", "Attention", "the MER2024 attention fusion, any number of streams"),
    _fusion("concat", "concat", "Concat", "encoded streams concatenated into one classifier"),
    _fusion("late", "late", "Late", "each modality's own prediction, weighted; weights given or learned"),
    _fusion("lf-dnn", "lf_dnn", "LfDnn", "LF-DNN: encoded streams side by side, two layers"),
    _fusion("tfn", "tfn", "Tfn", "Tensor Fusion Network: products of the codes of up to 13 streams"),
    _fusion("lmf", "lmf", "Lmf", "Low-rank Multimodal Fusion: TFN's products by factors, any number of streams"),
    _fusion("misa", "misa", "Misa", "MISA: what streams share and what each has alone, as tokens of a transformer"),
    _fusion("mmim", "mmim", "Mmim", "MMIM: the fused vector keeps mutual information with each stream"),
    _fusion(
        "transformer", "transformer", "Transformer", "a token per stream and a summary token; streams learn alone, too"
    ),
    _fusion(
        "ef-lstm",
        "ef_lstm",
        "EfLstm",
        "EF-LSTM: frames of all streams side by side, read by an LSTM",
        levels=("frame",),
        stackable=False,
    ),
    _fusion("mult", "mult", "Mult", "MulT: each stream attends to the frames of every other one", levels=("frame",)),
]
