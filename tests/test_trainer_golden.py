"""The trainer ``cv`` with its defaults: numbers that must not move when options are added."""

from __future__ import annotations

import numpy as np
import pytest
from test_trainer import make_data, train

LOGITS = [
    [-0.162406429, 0.148926666, -0.107661954, 0.047786377, -0.080174864, -0.034018978],
    [-0.16697112, 0.154179536, -0.121704238, 0.050493104, -0.082120888, -0.029702498],
]
"""Of the first two clips of ``make_data``: dropout, modality dropout 0.3 and three folds, in float64."""


@pytest.mark.parametrize("stacked", [True, False])
def test_defaults_give_the_model_they_always_gave(stacked: bool) -> None:
    found = train(make_data(), precision="float64", stacked=stacked).logits(make_data().table)[:2]
    assert np.abs(found - LOGITS).max() < 1e-7
