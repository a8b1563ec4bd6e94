"""One error tree. Every error says what happened and what to do next.

The command line prints ``message`` and ``hint`` and leaves with ``exit_code``:
2 for usage or data, 3 for the environment (a missing package, an unwritable folder).
"""

from __future__ import annotations


class MerError(Exception):
    """Base of all errors that mer raises on purpose.

    Args:
        message: what went wrong, naming the file, row, plugin or option.
        hint: what to do next, as one imperative sentence; empty only if nothing can be done.
    """

    exit_code = 2

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(MerError):
    """A flag, option or argument that cannot be what was meant."""


class OptionError(UsageError):
    """A plugin option that its options class refuses."""


class DataError(MerError):
    """A manifest, feature table or prediction file that cannot be used as it is."""


class TooLittleDataError(DataError):
    """Labelled data that no model can be trained on."""


class MediaError(DataError):
    """A media file that cannot be opened, decoded or believed."""


class PluginError(MerError):
    """A plugin that is unknown, ambiguous or broken."""


class FusionError(PluginError):
    """A fusion that does not do what it must, found out by the trainer that was given it.

    Whoever runs the trainer puts the fusion's name in place of "the fusion".

    Args:
        what: what the fusion does, without a subject: ``answers logits of shape [8, 5], not [8, 6].``
        hint: what to do next.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(f"the fusion {what}", hint)
        self.what = what


class StoreError(MerError):
    """A feature store or shard that cannot be read or written."""

    exit_code = 3


class MissingPackageError(MerError):
    """An optional package that a plugin needs and that is not installed."""

    exit_code = 3


class MissingWeightsError(MerError):
    """Weights that a plugin loads and that are not on this machine."""

    exit_code = 3


class EnvironmentProblem(MerError):
    """Something about this machine: permissions, disk, device."""

    exit_code = 3
