"""The conformance kit: does a plugin keep the contract?

Three ways to use it: ``mer plugins check NAME``; in pytest

>>> from mer_core.testing import conformance
>>> @conformance("my-speech")
... def test_contract(check): check()

and as a function, ``check_plugin("my-speech")``, which returns a :class:`Report`.
"""

from __future__ import annotations

from mer_core.testing.kit import Check, CheckFailed, NotApplicable, Report, Result
from mer_core.testing.run import BoundCheck, check_plugin, checks, conformance

__all__ = [
    "BoundCheck",
    "Check",
    "CheckFailed",
    "NotApplicable",
    "Report",
    "Result",
    "check_plugin",
    "checks",
    "conformance",
]
