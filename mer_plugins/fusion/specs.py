"""Specs of the fusion plugins. Light: nothing here imports numpy or torch."""

from __future__ import annotations

from mer_core.plugin import FusionSpec


def _fusion(name: str, module: str, cls: str, summary: str) -> FusionSpec:
    """A fusion over clip-level streams whose graph ``torch.func.vmap`` can run."""
    return FusionSpec(
        name=name,
        target=f"mer_plugins.fusion.{module}:{cls}",
        options=f"mer_plugins.fusion.options:{cls}Options",
        summary=summary,
        stackable=True,
    )


FUSIONS = [
    _fusion("attention", "attention", "Attention", "the MER2024 attention fusion, any number of streams"),
    _fusion("concat", "concat", "Concat", "encoded streams concatenated into one classifier"),
    _fusion("late", "late", "Late", "each modality's own prediction, weighted; weights given or learned"),
    _fusion("lf-dnn", "lf_dnn", "LfDnn", "LF-DNN: encoded streams side by side, two layers"),
    _fusion("tfn", "tfn", "Tfn", "Tensor Fusion Network: products of all streams' codes, for two to four streams"),
    _fusion("lmf", "lmf", "Lmf", "Low-rank Multimodal Fusion: TFN's products by factors, any number of streams"),
    _fusion("misa", "misa", "Misa", "MISA: what streams share and what each has alone, as tokens of a transformer"),
    _fusion("mmim", "mmim", "Mmim", "MMIM: the fused vector keeps mutual information with each stream"),
    _fusion(
        "transformer", "transformer", "Transformer", "a token per stream and a summary token; streams learn alone, too"
    ),
]
