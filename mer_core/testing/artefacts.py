"""Who makes what a plugin under check reads: an installed deriver for each artefact, with its options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mer_core.catalogue import Catalogue, Entry
from mer_core.derivers import similar_artefact
from mer_core.errors import MerError, OptionError, UsageError
from mer_core.inputs import DerivedInput, Input
from mer_core.names import same
from mer_core.owners import asked_of
from mer_core.spec import DeriverSpec, ExtractorSpec, declared_inputs
from mer_core.testing.kit import NotApplicable
from mer_core.testing.words import said

Given = Mapping[str, Mapping[str, Any]]
"""Options by the name of the deriver."""


def maker_of(catalogue: Catalogue, artefact: str, given: Given, home: str) -> Entry | None:
    """The deriver that makes ``artefact``.

    Of several, one that options are given to, or else one whose packages are there, of the reader's
    distribution ``home`` rather than of mer, and of mer rather than of others.
    """

    def rank(entry: Entry) -> tuple[bool, ...]:
        at_home = bool(home) and same(entry.distribution, home)
        return not asked_of(given, entry), bool(entry.missing_packages()), not at_home, not entry.own

    entries = [e for e in catalogue.of_kind(DeriverSpec) if not e.problem]
    made = [e for e in entries if isinstance(e.spec, DeriverSpec) and e.spec.produces == artefact]
    return min(made, key=rank, default=None)


def start(catalogue: Catalogue, artefact: str, given: Given, home: str) -> tuple[Entry, Any, dict[str, Input]]:
    """The deriver that makes ``artefact``, an instance of it, and what it reads.

    Raises:
        NotApplicable: there is none, or it cannot be made; saying what to do.
    """
    entry = maker_of(catalogue, artefact, given, home)
    if entry is None:
        guess = similar_artefact(catalogue, artefact)
        remedy = f"{guess} Else install" if guess else "Install"
        raise NotApplicable(f"nothing installed makes {artefact!r}. {remedy} the deriver that makes it")
    try:
        options = catalogue.options(DeriverSpec, entry.full_name, asked_of(given, entry))
        made = catalogue.load(DeriverSpec, entry.full_name)(options, "cpu")
    except MerError as error:
        said_so = f"{entry.full_name}, which makes {artefact!r}, cannot start: {error}"
        give = f" Give -o {entry.spec.name}.KEY=VALUE, in Python deriver_options" * isinstance(error, OptionError)
        raise NotApplicable(said_so + give) from error
    except (Exception, SystemExit) as error:
        raise broken(entry, artefact, error) from error
    assert isinstance(entry.spec, DeriverSpec)
    return entry, made, declared_inputs(entry.spec, options)


def broken(entry: Entry, artefact: str, error: BaseException) -> NotApplicable:
    """What to say where a deriver raises: that is no fault of the plugin that reads its artefact."""
    what = f"{entry.full_name}, which makes {artefact!r}, raised {said(error, entry.spec.target)}"
    return NotApplicable(f"{what}. Run 'mer plugins check {entry.full_name}'")


def require_part(catalogue: Catalogue, entry: Entry, options: Any, given: Given) -> None:
    """Refuse options of derivers that have no part in the checks of ``entry``, and wrong ones.

    Raises:
        UsageError: nothing that ``entry`` reads is made by that deriver.
        OptionError: naming the option.
    """
    spec = entry.spec
    inputs = declared_inputs(spec, options) if isinstance(spec, ExtractorSpec | DeriverSpec) else {}
    parts = taking_part(catalogue, inputs, given, entry.distribution)
    for owner, values in given.items():
        own = [part for part in parts if part.answers_to(owner)]
        if not own:
            raise _stranger(owner, [spec.name, *(part.spec.name for part in parts)])
        catalogue.options(DeriverSpec, own[0].full_name, values)


def _stranger(owner: str, names: list[str]) -> UsageError:
    others = f", nor a deriver whose artefact it reads ({', '.join(names[1:])})" if names[1:] else ""
    choices = " or ".join(f"-o {name}.KEY=VALUE" for name in names)
    return UsageError(f"option owner {owner!r} is not {names[0]!r}{others}.", f"Write {choices}.")


def taking_part(catalogue: Catalogue, inputs: Mapping[str, Input], given: Given, home: str) -> list[Entry]:
    """The derivers of what ``inputs`` read, and of what those read in turn."""
    found: dict[str, Entry] = {}
    waiting = [(artefact, home) for artefact in _artefacts(inputs)]
    while waiting:
        artefact, home = waiting.pop(0)
        maker = None if artefact in found else maker_of(catalogue, artefact, given, home)
        if maker is not None:
            found[artefact] = maker
            waiting += [(deeper, maker.distribution) for deeper in _artefacts(_read_by(catalogue, maker, given))]
    return list(found.values())


def _artefacts(inputs: Mapping[str, Input]) -> list[str]:
    """Faces that are cut from pictures are not among them: those pictures are drawn."""
    return [wanted.name for wanted in inputs.values() if isinstance(wanted, DerivedInput)]


def _read_by(catalogue: Catalogue, entry: Entry, given: Given) -> Mapping[str, Input]:
    assert isinstance(entry.spec, DeriverSpec)
    own = asked_of(given, entry)
    try:
        return declared_inputs(entry.spec, catalogue.options(DeriverSpec, entry.full_name, own))
    except MerError:
        if own:
            raise
        return {}  # it cannot start without options, which the check "starts" says
