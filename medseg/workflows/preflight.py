"""Resolve every target, reference and argument name of a configuration before any data are read."""

from __future__ import annotations

import ast
import builtins
import functools
import importlib
import inspect
import pydoc
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, ReferenceResolver
from monai.bundle.config_item import ComponentLocator, ConfigComponent, ConfigExpression

from medseg.errors import Fault, UsageError
from medseg.workflows.bundles import suggestion

PARTS = ("_target_", "_disabled_", "_requires_", "_desc_", "_mode_")
GIVEN = {"monai", "torch", "np", "numpy"}
SEPARATOR = "::"
ALWAYS_KNOWN = {"run_id", "init_id", "final_id", "meta_file", "logging_file", "tracking"}


def merge(files: Sequence[Path], overrides: Mapping[str, Any] | None = None) -> ConfigParser:
    """One parser over the merged files, with the overrides in it and its macros resolved."""
    parser = ConfigParser(ConfigParser.load_config_files([str(path) for path in files]))
    for key, value in (overrides or {}).items():
        parser[key] = value
    parser.resolve_macro_and_relative_ids()
    return parser


def refuse_unknown_keys(files: Sequence[Path], overrides: Mapping[str, Any]) -> None:
    """Refuse overrides that MONAI would ignore in silence.

    Known is an id of the merged configuration, or a parameter of its parent's ``_target_``.

    Raises:
        UsageError: every unknown key, each with the nearest known one.
    """
    config = ConfigParser.load_config_files([str(path) for path in files])
    nodes = dict(_nodes(config))
    faults = []
    for key in overrides:
        name = key.lstrip("+").replace("#", SEPARATOR)
        parent, _, last = name.rpartition(SEPARATOR)
        target = nodes.get(parent)
        parameters = _parameters(target) if isinstance(target, Mapping) and "_target_" in target else set()
        if name in nodes or name in ALWAYS_KNOWN or last in parameters:
            continue
        siblings = [f"{parent}{SEPARATOR}{each}" for each in parameters]
        fix = f"see the ids in {files[0]}{suggestion(name, [*nodes, *siblings])}"
        faults.append(Fault("E901", f"unknown key '{key}'", fix))
    if faults:
        raise UsageError(*faults)


def preflight(parser: ConfigParser) -> None:
    """Check a merged configuration without building anything.

    Raises:
        UsageError: every target that cannot be imported, reference to nowhere, unknown or missing argument and
            expression that is no Python, each with its id.
    """
    nodes = dict(_nodes(parser.config))
    modules = _imported(nodes)
    faults = [
        Fault("E902", f"{identity}: {what}", fix)
        for identity, node in nodes.items()
        for what, fix in [*_component_faults(node), *_text_faults(node, nodes, modules)]
    ]
    if faults:
        raise UsageError(*faults)


def optimizers(parser: ConfigParser) -> list[str]:
    """The ids of what a configuration calls torch's optimizers."""
    named = {identity: node["_target_"] for identity, node in _nodes(parser.config)
             if isinstance(node, Mapping) and isinstance(node.get("_target_"), str)}  # fmt: skip
    found = {identity: _target(name) for identity, name in named.items() if not name.startswith("$")}
    return [identity for identity, target in found.items()
            if inspect.isclass(target) and issubclass(target, torch.optim.Optimizer)]  # fmt: skip


def _nodes(config: Any, identity: str = "") -> Iterator[tuple[str, Any]]:
    """Every (id, node) of a configuration."""
    if identity:
        yield identity, config
    if isinstance(config, Mapping):
        parts = list(config.items())
    else:
        parts = list(enumerate(config)) if isinstance(config, list) else []
    for key, part in parts:
        yield from _nodes(part, f"{identity}{SEPARATOR}{key}" if identity else str(key))


def _component_faults(node: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str) or node["_target_"].startswith("$"):
        return
    try:
        found = _located(node)
    except pydoc.ErrorDuringImport as error:
        yield f"{node['_target_']} cannot be imported: {error.value}", "install what is missing"
        return
    if found is None:
        yield f"no such target {node['_target_']}", "check the dotted path"
        return
    parameters = _parameters(node)
    given = [key for key in node if key not in PARTS]
    for name in given:
        if parameters and name not in parameters and "**" not in parameters:
            yield f"{node['_target_']} takes no argument '{name}'", f"see its parameters{suggestion(name, parameters)}"
    if node.get("_mode_", "default") == "default":
        for name in sorted(_required(found) - set(given)):
            yield f"{node['_target_']} lacks its argument '{name}'", "add it"


def _text_faults(node: Any, nodes: Mapping[str, Any], modules: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not isinstance(node, str):
        return
    references = ReferenceResolver.match_refs_pattern(node)
    for reference in sorted(references):
        if reference not in nodes:
            yield f"@{reference} refers to nothing", f"check the name{suggestion(reference, nodes)}"
    if ConfigExpression.is_expression(node) and not ConfigExpression.is_import_statement(node):
        yield from _expression_faults(
            ReferenceResolver.update_refs_pattern(node, dict.fromkeys(references))[1:], modules
        )


def _expression_faults(expression: str, modules: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError as error:
        yield f"not a Python expression: {expression} ({error.msg})", "mend it"
        return
    bound = {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    bound |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in bound | set(modules) | set(dir(builtins)) | {"__local_refs"}:
            yield f"unknown name '{node.id}' in {expression}", "import it, or refer to an id with @"
        path = _dotted(node) if isinstance(node, ast.Attribute) else []
        if path and path[0] in modules and not _has(modules[path[0]], path[1:]):
            yield f"{'.'.join(path)} does not exist", "check the name"


def _imported(nodes: Mapping[str, Any]) -> dict[str, Any]:
    """Modules that expressions may name: MONAI's own and the configuration's ``$import`` lines."""
    modules: dict[str, Any] = {name: importlib.import_module({"np": "numpy"}.get(name, name)) for name in GIVEN}
    for node in nodes.values():
        if isinstance(node, str) and ConfigExpression.is_import_statement(node):
            for alias in ast.parse(node[1:]).body[0].names:  # type: ignore[attr-defined]
                modules[alias.asname or alias.name] = pydoc.locate(alias.name)
    return modules


def _dotted(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (head := _dotted(node.value)):
        return [*head, node.attr]
    return []


def _has(thing: Any, path: Sequence[str]) -> bool:
    for name in path:
        if not hasattr(thing, name):
            return False
        thing = getattr(thing, name)
    return True


def _located(component: Mapping[str, Any]) -> Any:
    return _target(str(component["_target_"]))


@functools.cache
def _target(name: str) -> Any:
    return pydoc.locate(ConfigComponent({"_target_": name}, locator=_locator()).resolve_module_name())


@functools.cache
def _locator() -> ComponentLocator:
    """One for all names: each scans all of MONAI's modules, once."""
    return ComponentLocator()


def _parameters(component: Mapping[str, Any]) -> set[str]:
    """Names that a target takes; with ``**`` among them where any name will do."""
    found = _located(component)
    if not inspect.isclass(found):
        return _names(found)
    names: set[str] = set()
    for kind in found.__mro__:  # a class that hands **kwargs on takes what its bases take
        if "__init__" in vars(kind):
            own = _names(vars(kind)["__init__"])
            names |= own - {"**", "self"}
            if "**" not in own:
                return names
    return names | {"**"}


def _names(function: Any) -> set[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return {"**"}
    return {"**" if p.kind is p.VAR_KEYWORD else p.name for p in parameters if p.kind is not p.VAR_POSITIONAL}


def _required(found: Any) -> set[str]:
    try:  # of __init__, for a class with a __new__ of its own would show that one's
        parameters = list(inspect.signature(found.__init__ if inspect.isclass(found) else found).parameters.values())
    except (TypeError, ValueError):
        return set()
    parameters = parameters[1:] if inspect.isclass(found) else parameters
    return {p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
