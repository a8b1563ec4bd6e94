"""Options given again at prediction: a weights file lies elsewhere, a deriver may use another device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_core.config import PluginChoice, RunConfig, StreamChoice
from mer_core.errors import UsageError
from mer_core.registry import Catalogue
from mer_core.spec import DeriverSpec, ExtractorSpec

Asked = Mapping[str, Mapping[str, Any]]


def override_options(config: RunConfig, asked: Asked, catalogue: Catalogue) -> RunConfig:
    """``config`` with options of its extractors and derivers replaced, by plugin or stream.

    Raises:
        UsageError: an owner that takes no part.
        OptionError: naming the option.
    """
    owners = {*config.streams, *(c.extractor for c in config.streams.values())}
    owners |= {choice.name for choice in config.derivers.values()}
    for owner in asked:
        if owner not in owners:
            raise UsageError(
                f"option owner {owner!r} takes no part in this model.", f"Owners are {', '.join(sorted(owners))}."
            )
    streams = {name: _stream(name, choice, asked, catalogue) for name, choice in config.streams.items()}
    derivers = {name: _deriver(choice, asked, catalogue) for name, choice in config.derivers.items()}
    return config.model_copy(update={"streams": streams, "derivers": derivers})


def _stream(name: str, choice: StreamChoice, asked: Asked, catalogue: Catalogue) -> StreamChoice:
    wanted = {**choice.options, **asked.get(choice.extractor, {}), **asked.get(name, {})}
    options = catalogue.options(ExtractorSpec, choice.extractor, wanted)
    return choice.model_copy(update={"options": options.model_dump(mode="json")})


def _deriver(choice: PluginChoice, asked: Asked, catalogue: Catalogue) -> PluginChoice:
    options = catalogue.options(DeriverSpec, choice.name, {**choice.options, **asked.get(choice.name, {})})
    return choice.model_copy(update={"options": options.model_dump(mode="json")})
