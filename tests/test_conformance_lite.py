"""The shipped extractors and face deriver keep the contract."""

from __future__ import annotations

from mer_core.testing import BoundCheck, conformance


@conformance("acoustic")
def test_acoustic(check: BoundCheck) -> None:
    check()


@conformance("hog")
def test_hog(check: BoundCheck) -> None:
    check()


@conformance("motion", options={"side": 48, "fps": 4})
def test_motion(check: BoundCheck) -> None:
    check()


@conformance("ngram")
def test_ngram(check: BoundCheck) -> None:
    check()


@conformance("haar", options={"fps": 1})
def test_haar(check: BoundCheck) -> None:
    check()
