"""Names of plugins: bare (``attention``) or full, with the distribution that brings them (``attention@bad``)."""

from __future__ import annotations

import re

OWN = "mer-toolkit"
"""The distribution that mer itself comes in: a bare name that one of its plugins has always means that one."""

EXTRA = "extra"
"""The distribution of plugin objects that are not installed."""


def bare(name: str) -> str:
    """``attention`` of ``attention@bad`` and of ``attention``."""
    return name.partition("@")[0]


def readable(name: str) -> str:
    """A name as reports print it: ``my-speech`` for ``my-speech@my-speech``; others stay as they are."""
    plugin, _, distribution = name.partition("@")
    return plugin if same(plugin, distribution) else name


def same(one: str, other: str) -> bool:
    """Whether two names of distributions mean the same one: case and separators do not matter."""
    return _normal(one) == _normal(other)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
