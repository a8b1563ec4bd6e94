"""Adam without torch's class around it."""

from __future__ import annotations

import subprocess
import sys

import torch

from mer_plugins.trainers.optimiser import Adam

TRAINS = """
import sys
from mer_core.testing.tables import feature_set
from mer_plugins.fusion.attention import Attention, AttentionOptions
from mer_plugins.trainers.cv import CrossValidation, CvOptions
CrossValidation(CvOptions(epochs=1)).fit(Attention(AttentionOptions(hidden=4)), feature_set(12, folds=2), 0)
print(sorted(name for name in ("torch._dynamo", "sympy", "pandas", "sklearn") if name in sys.modules))
"""


def test_it_is_torchs_own_to_the_bit_and_leaves_what_has_no_gradient() -> None:
    torch.manual_seed(0)
    ours = [torch.randn(3, 4).requires_grad_(), torch.randn(5).requires_grad_()]
    theirs = [one.detach().clone().requires_grad_() for one in ours]
    mine, other = Adam(ours, 0.01, 0.1), torch.optim.Adam(theirs, lr=0.01, weight_decay=0.1, fused=True)
    for step in range(6):
        mine.groups[0].lr = other.param_groups[0]["lr"] = 0.01 / (step + 1)
        for params in (ours, theirs):
            used = params[:1] if step % 2 else params
            sum((one.cos() * (step + 1)).sum() for one in used).backward()  # type: ignore[union-attr]
        mine.step()
        other.step()
        mine.zero_grad()
        other.zero_grad()
        assert [torch.equal(a, b) for a, b in zip(ours, theirs, strict=True)] == [True, True]


def test_training_imports_no_compiler() -> None:
    """It would cost every process that trains some seconds."""
    found = subprocess.run([sys.executable, "-c", TRAINS], capture_output=True, text=True, check=True, timeout=300)
    assert found.stdout.strip() == "[]"
