"""What a trainer has to return, told of what it returned."""

from __future__ import annotations

METHODS = ("predict", "logits", "save")
"""Of :class:`mer_core.protocols.Model`."""


def no_model(found: object) -> str:
    """``returned NoneType, which is no model: it lacks predict, logits, save``; empty where ``found`` is one."""
    absent = [name for name in METHODS if not callable(getattr(found, name, None))]
    return f"returned {type(found).__name__}, which is no model: it lacks {', '.join(absent)}." if absent else ""
