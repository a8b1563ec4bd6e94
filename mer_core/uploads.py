"""What leaves the machine: what plugins would send to servers, and the permission to do so. Light.

Permission is given with each command or call, and never kept in a file: neither a run's ``config.toml`` nor a model
folder, which others may be handed, lets anything out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mer_core.errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from mer_core.registry import Catalogue

PERMISSION = "allow_upload"
"""Name of the option by which a plugin is permitted to send something. It changes no fingerprint."""

LEAST = 0.01
"""The smallest cost that is told as a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a plugin would send to another machine for some clips. Nothing is sent to find out.

    Args:
        host: where it goes, e.g. ``api.openai.com``.
        new: how many things would be sent.
        cached: how many need not be, since their answers are known.
        what: what one of them is called.
        characters: length of all that is sent.
        tokens: estimate of what a language model counts.
        cost: estimate, in the currency of the prices; None if unknown.
        currency: sign of that currency, where it is known.
        basis: whose prices these are where the user gave none, and of when: ``at X's list price of May 2024``.
        prices: options that make the cost known.
        unset: the environment variable that sending needs and that is not set; empty if nothing is lacking.
        instead: a sentence on how to do without.
    """

    host: str
    new: int
    cached: int = 0
    what: str = "transcript"
    characters: int = 0
    tokens: int = 0
    cost: float | None = None
    currency: str = ""
    basis: str = ""
    prices: tuple[str, ...] = ()
    unset: str = ""
    instead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An outlook, the plugin that it is of, and whether that may send.

    ``unheard`` counts clips without text whose speech is recognised first, so that nobody knows yet what is sent.
    """

    plugin: str
    outlook: Outlook
    permitted: bool
    unheard: int = 0

    @property
    def any(self) -> bool:
        """Whether something is sent."""
        return bool(self.outlook.new or self.unheard)

    def __str__(self) -> str:
        return self.told("would send")

    def told(self, verb: str) -> str:
        """The outlook in words."""
        found = self.outlook
        if not self.any:
            return f"{self.plugin} {verb} nothing to {found.host}: {self._known()}"
        things = f"{found.new:,} {found.what}{'' if found.new == 1 else 's'}"
        size = f"{found.characters:,} characters in all, about {found.tokens:,} tokens, {self._cost()}"
        more = f", and what is recognised in {self.unheard:,} clips without text," if self.unheard else ""
        known = f"{found.cached:,} {'is' if found.cached == 1 else 'are'} cached"
        return f"{self.plugin} {verb} {things}{more} to {found.host} ({size}); {known}"

    def _known(self) -> str:
        """Why there is nothing to send."""
        n, what = self.outlook.cached, self.outlook.what
        if not n:
            return f"there is no {what} to send"
        return f"the answer to the only {what} is cached" if n == 1 else f"the answers to all {n:,} {what}s are cached"

    def _cost(self) -> str:
        found = self.outlook
        if found.cost is not None:
            little = 0 < found.cost < LEAST / 2
            amount = f"{'less than' if little else 'about'} {found.currency}{max(found.cost, little * LEAST):,.2f}"
            return f"{found.basis}: {amount}" if found.basis else f"cost {amount}"
        names = " and ".join(f"{self.plugin}.{name}" for name in self.outlook.prices)
        return f"cost unknown: set {names}" if names else "cost unknown"

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        found = self.outlook
        lacking = ([] if self.permitted else ["--allow-upload"]) + ([found.unset] if found.unset else [])
        names = ("host", "what", "new", "cached", "characters", "tokens", "cost", "currency", "basis", "unset")
        facts = {name: getattr(found, name) for name in names}
        return {
            "plugin": self.plugin,
            **facts,
            "unheard": self.unheard,
            "permitted": self.permitted,
            "told": f"{self}." + (f" It needs {' and '.join(lacking)}." if lacking and self.any else ""),
        }


def sends(options: Any) -> bool:
    """Whether a plugin may send something: its options, or their class, define ``outlook``."""
    return callable(getattr(options, "outlook", None))


def refuse_uploads(uploads: Sequence[Upload]) -> None:
    """Raise before anything is sent that is not permitted.

    Raises:
        UsageError: saying what would be sent, where to, how much of it, and how to permit it or do without.
        EnvironmentProblem: it is permitted, and a variable that sending needs is not set.
    """
    refused = [one for one in uploads if one.any and not one.permitted]
    if refused:
        instead = dict.fromkeys(one.outlook.instead for one in refused)
        hint = ["Permit it with --allow-upload (in Python: allow_upload=True).", *filter(None, instead)]
        raise UsageError(f"{'; '.join(map(str, refused))}.", " ".join(hint))
    for one in uploads:
        if one.any and one.outlook.unset:
            found = one.outlook
            raise EnvironmentProblem(
                f"{one.plugin}: {found.host} wants a key, and {found.unset} is not set.",
                f"Set {found.unset}. {found.instead}".strip(),
            )


def permitted(values: Mapping[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    """A resolved configuration as plain data, in which every plugin that sends something is permitted to."""
    from mer_core.spec import DeriverSpec, ExtractorSpec

    found = dict(values)
    for part, key, kind in (("streams", "extractor", ExtractorSpec), ("derivers", "name", DeriverSpec)):
        found[part] = {name: dict(choice) for name, choice in values.get(part, {}).items()}
        for choice in found[part].values():
            cls = catalogue.options_class(kind, choice[key])
            if sends(cls) and PERMISSION in cls.model_fields:
                choice["options"] = {**choice.get("options", {}), PERMISSION: True}
    return found


def unpermitted(values: Any) -> Any:
    """Plain data without any permission in it, for files."""
    if not isinstance(values, Mapping):
        return values
    return {key: False if key == PERMISSION else unpermitted(value) for key, value in values.items()}
