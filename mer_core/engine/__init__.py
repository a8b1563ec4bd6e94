"""The extraction engine: every clip is opened once, whatever stops is taken up again."""

from mer_core.engine.extract import extract, plan, unanswered
from mer_core.engine.types import (
    ClipFailure,
    DeriverJob,
    EngineSettings,
    ExtractorJob,
    ExtractPlan,
    ExtractReport,
    StreamPlan,
    Unreadable,
)

__all__ = [
    "ClipFailure",
    "DeriverJob",
    "EngineSettings",
    "ExtractPlan",
    "ExtractReport",
    "ExtractorJob",
    "StreamPlan",
    "Unreadable",
    "extract",
    "plan",
    "unanswered",
]
