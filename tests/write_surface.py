"""What plugins and scripts rely on, one line per name; ``python tests/write_surface.py`` writes it to a file.

Annotations are taken as they are written in the source, so that the lines are the same under every Python.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel

SNAPSHOT = Path(__file__).parent / "public_surface.txt"

FACADES = ("mer_core", "mer_core.plugin", "mer_core.testing")
"""Modules whose ``__all__`` is public."""

WHOLE = (
    "mer_core.pooling",
    "mer_core.modality_dropout",
    "mer_core.presence",
    "mer_core.media.align",
    "mer_core.media.faces",
)
"""Modules of which everything without an underscore is public."""

PARTS = {
    "mer_core.media.crops": ("BLACK", "StoredFaces", "numbered", "open_pictures", "pictures_digest"),
    "mer_core.media.sampling": ("segment_indices",),
}
"""Public parts of modules that otherwise serve mer itself."""

KINDS = ("extractor", "deriver", "fusion", "trainer", "dataset", "listener")

_SPECIAL = ("__call__", "__len__", "__iter__")


def surface() -> list[str]:
    """Every line, without repetitions, in a stable order."""
    lines = [line for module in FACADES for name in facade_names(module) for line in public(module, name)]
    lines += [line for module in WHOLE for name in own_names(module) for line in public(module, name)]
    lines += [line for module, names in PARTS.items() for name in names for line in public(module, name)]
    lines += [*hooks(), *checks(), *shipped()]
    return list(dict.fromkeys(lines))


def facade_names(module: str) -> list[str]:
    """The names of ``__all__``."""
    return sorted(import_module(module).__all__)


def own_names(module: str) -> list[str]:
    """Names without underscore that ``module`` itself defines, constants and type aliases too."""
    return sorted(name for name in _top_level(module) if not name.startswith("_"))


def public(module: str, name: str) -> Iterator[str]:
    """The lines of one name."""
    path, value = f"{module}.{name}", getattr(import_module(module), name)
    home = getattr(value, "__module__", "") or ""
    if inspect.isfunction(value) and not home.startswith("mer_"):
        yield f"{path} = {home.partition('.')[0]}.{value.__name__}"
    elif inspect.isclass(value):
        yield from _class(path, value)
    elif inspect.isfunction(value):
        yield f"{path}{_signature(value)}"
    else:
        yield f"{path} = {_source(module, name) or _default(value)}"


def hooks() -> Iterator[str]:
    """The lines of the hooks."""
    for name, value in vars(import_module("mer_core.hookspecs")).items():
        if hasattr(value, "mer_spec"):
            yield f"hook {name}{_signature(value)}"


def checks() -> Iterator[str]:
    """The lines of the conformance kit's checks, in the order in which they run."""
    for kind in KINDS:
        for check in import_module("mer_core.testing").checks(kind):
            yield f"check {kind} {check.name}"


def shipped() -> Iterator[str]:
    """The lines of the shipped plugins and of their options."""
    for spec in import_module("mer_plugins.specs").mer_specs():
        yield f"plugin {spec.kind} {spec.name}"
        if spec.options:
            module, _, name = spec.options.partition(":")
            yield from (
                f"option {spec.kind} {spec.name}{line}" for line in _model(getattr(import_module(module), name))
            )


def _class(path: str, cls: type[Any]) -> Iterator[str]:
    """What the class is, then its fields and members, without those that it has from its first ancestor."""
    bases = [base for base in cls.__bases__ if base is not object]
    inherited = {*_content(bases[0])} if bases and bases[0] in _own_line(cls) else set()
    yield f"{path}: class" + (f" of {', '.join(base.__name__ for base in bases)}" if bases else "")
    if dataclasses.is_dataclass(cls):
        yield f"{path}({', '.join(_positional(cls)) or '*'})"
    yield from (path + line for line in _content(cls) if line not in inherited)


def _content(cls: type[Any]) -> Iterator[str]:
    if dataclasses.is_dataclass(cls):
        yield from (f".{item.name}: {item.type}{_field_default(item)}" for item in dataclasses.fields(cls))
    elif issubclass(cls, BaseModel):
        yield from _model(cls)
    else:
        yield from (f".{name}: {kind}" for name, kind in _annotated(cls).items())
    for name, value in _members(cls).items():
        yield from (f".{name}{line}" for line in _member(value))


def _model(cls: type[BaseModel]) -> Iterator[str]:
    written = _annotated(cls)
    for name, info in cls.model_fields.items():
        default = "" if info.is_required() else f" = {info.get_default(call_default_factory=True)!r}"
        yield f".{name}: {written[name]}{default}"


def _member(value: Any) -> Iterator[str]:
    if isinstance(value, property):
        yield f": property of {inspect.signature(value.fget).return_annotation}"  # type: ignore[arg-type]
    elif isinstance(value, classmethod | staticmethod):
        yield _signature(value.__func__)
    elif inspect.isfunction(value):
        yield _signature(value)
    elif isinstance(value, str | int | tuple):
        yield f" = {value!r}"


def _members(cls: type[Any]) -> dict[str, Any]:
    """What classes of mer define along the line of ancestors; fields are left out."""
    data = dataclasses.is_dataclass(cls)
    fields = {item.name for item in dataclasses.fields(cls)} if data else {*getattr(cls, "_fields", ())}
    wanted = {*_SPECIAL} if data or issubclass(cls, BaseModel) else {*_SPECIAL, "__init__"}
    found: dict[str, Any] = {}
    for base in reversed(_own_line(cls)):
        for name, value in vars(base).items():
            plain = not name.startswith("_") and name not in fields and not name.startswith("model_")
            if (plain or name in wanted) and not _protocol_init(value):
                found[name] = value
    return dict(sorted(found.items()))


def _protocol_init(value: Any) -> bool:
    return getattr(value, "__module__", "") == "typing"


def _annotated(cls: type[Any]) -> dict[str, str]:
    """Annotations as written, of the class and its ancestors in mer."""
    found = {name: kind for base in reversed(_own_line(cls)) for name, kind in inspect.get_annotations(base).items()}
    return {name: str(getattr(kind, "__forward_arg__", kind)) for name, kind in found.items()}


def _own_line(cls: type[Any]) -> list[type[Any]]:
    return [base for base in cls.__mro__ if base.__module__.startswith(("mer_core", "mer_plugins"))]


def _signature(function: Any) -> str:
    returned = inspect.signature(function).return_annotation
    return f"({', '.join(_parameters(function))})" + ("" if returned is inspect.Signature.empty else f" -> {returned}")


def _parameters(function: Any) -> Iterator[str]:
    star = False
    for item in inspect.signature(function).parameters.values():
        if item.kind is item.KEYWORD_ONLY and not star:
            yield "*"
        star = star or item.kind in (item.KEYWORD_ONLY, item.VAR_POSITIONAL)
        prefix = {item.VAR_POSITIONAL: "*", item.VAR_KEYWORD: "**"}.get(item.kind, "")
        annotation = "" if item.annotation is item.empty else f": {item.annotation}"
        yield prefix + item.name + annotation + ("" if item.default is item.empty else f" = {_default(item.default)}")


def _positional(cls: type[Any]) -> list[str]:
    """The arguments of a dataclass that may be given by place; ``*`` stands for none."""
    return [item.name for item in dataclasses.fields(cls) if item.init and not item.kw_only]


def _field_default(item: dataclasses.Field[Any]) -> str:
    if item.default_factory is not dataclasses.MISSING:
        return f" = {item.default_factory()!r}"
    return "" if item.default is dataclasses.MISSING else f" = {_default(item.default)}"


def _default(value: Any) -> str:
    return value.__name__ if callable(value) else repr(value)


def _top_level(module: str) -> dict[str, str]:
    """Names that the module's own statements define -> the right-hand side, where there is one."""
    found: dict[str, str] = {}
    for node in ast.parse(inspect.getsource(import_module(module))).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = ""
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found[node.targets[0].id] = ast.unparse(node.value)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            names, values = node.targets[0].elts, getattr(node.value, "elts", ())
            pairs = zip(names, values or [node.value] * len(names), strict=True)
            found |= {name.id: ast.unparse(value) for name, value in pairs if isinstance(name, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = ast.unparse(node.value)
    return found


def _source(module: str, name: str) -> str:
    """What is assigned to ``name``, in ``module`` or where ``module`` imports it from; empty if nothing is."""
    own = _top_level(module)
    if name in own:
        return own[name]
    for node in ast.walk(ast.parse(inspect.getsource(import_module(module)))):
        if isinstance(node, ast.ImportFrom) and node.module and name in (alias.name for alias in node.names):
            return _source(node.module, name)
    return ""


def text() -> str:
    """The file's contents."""
    head = (
        "# What plugins and scripts rely on. Written by tests/write_surface.py; changes go to docs/plugins/policy.md."
    )
    return "\n".join([head, *surface()]) + "\n"


if __name__ == "__main__":
    SNAPSHOT.write_text(text(), encoding="utf-8")
    print(f"{SNAPSHOT}: {len(surface())} lines")
