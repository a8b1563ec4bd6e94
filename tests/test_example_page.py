"""The page about the worked example quotes its source as it is."""

from __future__ import annotations

import pytest
from pages import DOCS, EXAMPLES, files

PAGE = DOCS / "plugins" / "example.md"
PACKAGE = EXAMPLES / "mer-plugin-example"


@pytest.mark.parametrize("name", sorted(files(PAGE)))
def test_quotations_are_in_the_source(name: str) -> None:
    home = PACKAGE if name.startswith("tests/") else PACKAGE / "src"
    assert files(PAGE)[name] in (home / name).read_text(encoding="utf-8")
