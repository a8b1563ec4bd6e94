"""Plugin options: ``key=value`` text, TOML or JSON become validated objects.

Options are pydantic models that refuse unknown keys; every field carries a description, which
``mer plugins show`` prints. They are validated before a plugin's heavy imports happen.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, field_serializer

from mer_core.errors import OptionError, UsageError


class Options(BaseModel):
    """Base of every plugin's options: unknown keys are refused, instances never change.

    A validator of your own may raise :class:`mer_core.errors.OptionError` with a hint; it is shown as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, protected_namespaces=())

    @field_serializer("*", mode="wrap", when_used="json", check_fields=False)
    def _absolute(self, value: Any, handler: SerializerFunctionWrapHandler) -> Any:
        """Paths are saved in full, so that a saved run can be repeated from another folder."""
        return str(value.absolute()) if isinstance(value, Path) else handler(value)

    def fingerprint(self) -> Mapping[str, Any]:
        """What shapes the results and is not in the options' values; JSON-able. Override where there is any.

        Stored features expire when it changes. An entry named like an option stands in for that option:
        ``{"model": content_digest(self.model)}`` in place of a path, so that another file under the same name
        counts as another model, and the same file elsewhere as the same; ``{"threads": None}`` for an
        option that changes no result. Called before anything is decoded; an ``OSError`` from it is reported
        as a file that cannot be read.
        """
        return {}

    def compute_dtype(self, device: str) -> str:
        """Floating-point type in which the plugin computes on ``device``: part of the fingerprint, too.

        Override it where a GPU computes in another one, and compute in what it says.
        """
        return "float32"


class NoOptions(Options):
    """For plugins without options."""


OptionsT = TypeVar("OptionsT", bound=Options)


def parse_pairs(pairs: Iterable[str]) -> dict[str, dict[str, Any]]:
    """``["acoustic.n_mels=80"]`` -> ``{"acoustic": {"n_mels": 80}}``.

    The owner is everything before the last dot of the key, so stream names
    (``speech:acoustic.n_mels=80``) work too. Values are read as JSON where they are JSON.

    Raises:
        UsageError: for text that is not ``OWNER.KEY=VALUE``.
    """
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        owner, dot, field = key.strip().rpartition(".")
        if not (equals and dot and owner and field):
            raise UsageError(f"option {pair!r} is not OWNER.KEY=VALUE.", "For example: -o acoustic.n_mels=80.")
        found.setdefault(owner, {})[field] = parse_value(value.strip())
    return found


def parse_value(text: str) -> Any:
    """As JSON where it is JSON, else as text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def validate(cls: type[OptionsT], values: Mapping[str, Any], owner: str) -> OptionsT:
    """Build ``cls`` from ``values``.

    Raises:
        OptionError: naming ``owner``, each wrong key and the close match or what was expected.
    """
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        lines = [_explain(cls, problem, owner) for problem in error.errors()]
        raise OptionError(f"{owner}: " + "; ".join(lines) + ".", f"See 'mer plugins show {owner}'.") from None


def _explain(cls: type[Options], problem: Any, owner: str) -> str:
    key = ".".join(str(part) for part in problem["loc"]) or "options"
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, cls.model_fields, n=1)
        return f"no option {key!r}" + (f" (did you mean {close[0]!r}?)" if close else "")
    if problem["type"] == "missing":
        return f"the option {key} is required: -o {owner}.{key}=VALUE"
    if problem["type"] in ("path_not_file", "path_not_directory"):
        what = "file" if problem["type"] == "path_not_file" else "folder"
        return f"option {key}: there is no {what} {Path(problem['input']).absolute()}: -o {owner}.{key}={what.upper()}"
    own = problem.get("ctx", {}).get("error")
    return f"option {key}: {own or problem['msg'].lower()}"


def describe(cls: type[Options]) -> list[tuple[str, str, str, str]]:
    """Rows ``(name, type, default, description)`` of an options class, in declared order."""
    rows = []
    for name, info in cls.model_fields.items():
        default = "required" if info.is_required() else _shown(info.get_default(call_default_factory=True))
        rows.append((name, _kind(info.annotation), default, " ".join((info.description or "").split())))
    return rows


def _kind(annotation: Any) -> str:
    """A type as it is written in a class body; paths that must be there as ``file`` or ``folder``."""
    name = getattr(annotation, "__name__", None)
    shown = name if name and "[" not in str(annotation) else str(annotation).replace("typing.", "")
    for kind, word in (("file", "file"), ("dir", "folder")):
        shown = shown.replace(f"Annotated[pathlib.Path, PathType(path_type='{kind}')]", word)
    return re.sub(r"^Optional\[(.*)\]$", r"\1 | None", shown)


def _shown(default: Any) -> str:
    """As JSON, with letters of every alphabet as they are."""
    return json.dumps(default, default=str, ensure_ascii=False)
