"""Options given again at prediction: a weights file lies elsewhere, a deriver may use another device."""

from __future__ import annotations

from collections.abc import Iterable

from mer_core.config import PluginChoice, RunConfig, StreamChoice
from mer_core.owners import Asked, asked_of, refuse_strangers
from mer_core.registry import Catalogue, Entry
from mer_core.spec import DeriverSpec, ExtractorSpec


def override_options(config: RunConfig, asked: Asked, catalogue: Catalogue) -> RunConfig:
    """``config`` with options of its extractors and derivers replaced, by plugin or stream.

    Raises:
        UsageError: an owner that takes no part.
        OptionError: naming the option.
    """
    readers = [catalogue.entry(ExtractorSpec, choice.extractor) for choice in config.streams.values()]
    makers = [catalogue.entry(DeriverSpec, choice.name) for choice in config.derivers.values()]
    refuse_strangers(asked, config.streams, [*readers, *makers], "this model")
    streams = {name: _stream(name, own, asked, catalogue, readers) for name, own in config.streams.items()}
    derivers = {name: _deriver(choice, asked, catalogue) for name, choice in config.derivers.items()}
    return config.model_copy(update={"streams": streams, "derivers": derivers})


def _stream(
    name: str, choice: StreamChoice, asked: Asked, catalogue: Catalogue, readers: Iterable[Entry]
) -> StreamChoice:
    own = asked_of(asked, catalogue.entry(ExtractorSpec, choice.extractor), readers)
    options = catalogue.options(ExtractorSpec, choice.extractor, {**choice.options, **own, **asked.get(name, {})})
    return choice.model_copy(update={"options": options.model_dump(mode="json")})


def _deriver(choice: PluginChoice, asked: Asked, catalogue: Catalogue) -> PluginChoice:
    own = asked_of(asked, catalogue.entry(DeriverSpec, choice.name))
    options = catalogue.options(DeriverSpec, choice.name, {**choice.options, **own})
    return choice.model_copy(update={"options": options.model_dump(mode="json")})
