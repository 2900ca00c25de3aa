"""The house rules that a machine can check: who imports whom, how long, what is read."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from pydantic import BaseModel

ROOT = Path(__file__).parents[1]
MAX_LINES = 500

# Each layer may import from itself and from those named with it.
_BASE = ["errors", "config", "graphs"]
_STORE = [*_BASE, "runtime", "ledger"]
_PARTS = [*_STORE, "generator", "objectives"]
LAYERS = {
    "errors": ["errors"],
    "config": ["errors"],
    "graphs": ["errors", "config"],
    "runtime": _BASE,
    "ledger": _BASE,
    "generator": _STORE,
    "objectives": _STORE,
    "search": _PARTS,
    "training": [*_PARTS, "search"],
    "report": [*_STORE, "objectives"],
    "campaign": [*_PARTS, "search", "report"],
    "doctor": [*_PARTS, "search", "training", "campaign", "report"],
    "explaining": _PARTS,
    "cli": [*_PARTS, "search", "training", "campaign", "report", "doctor", "explaining"],
}


def sources(*packages: str) -> list[Path]:
    return sorted(p for package in packages for p in (ROOT / package).rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(p): p for p in sources("molgen", "property_models")}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text())


def imports(module: str, *, lazy: bool = True) -> Iterator[str]:
    """Absolute names of all modules imported; lazy: inside functions as well.

    What stands under `if TYPE_CHECKING` is for readers and does not count.
    """
    pending: list[ast.AST] = [tree_of(module)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not lazy:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else str(node.module)
        pending.extend(ast.iter_child_nodes(node))


def importers(package: str) -> set[str]:
    return {m for m in MODULES if any(i.split(".")[0] == package for i in imports(m))}


def layer_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_property_models_knows_nothing_of_molgen_ray_or_mlflow() -> None:
    for module in MODULES:
        if module.startswith("property_models"):
            found = {i.split(".")[0] for i in imports(module)}
            assert not found & {"molgen", "ray", "mlflow"}, module


def test_molgens_layers_import_one_way() -> None:
    assert {layer_of(m) for m in MODULES if m.startswith("molgen.")} == set(LAYERS)
    for module in MODULES:
        if not module.startswith("molgen."):
            continue
        layer = layer_of(module)
        for imported in imports(module):
            if imported.startswith("molgen.") and layer_of(imported) != layer:
                assert layer_of(imported) in LAYERS[layer], f"{module} imports {imported}"


def test_nothing_shipped_imports_experiments_or_tests() -> None:
    for module in MODULES:
        assert not {i.split(".")[0] for i in imports(module)} & {"experiments", "tests"}, module


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Lazy imports count: they hide a circle, they do not open it."""
    graph = {m: {i for i in imports(m) if i in MODULES and i != m} for m in MODULES}
    done: set[str] = set()
    path: list[str] = []

    def visit(module: str) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for imported in sorted(graph[module]):
            visit(imported)
        done.add(path.pop())

    for module in sorted(graph):
        visit(module)


def test_ray_mlflow_deepchem_and_torch_stay_in_their_places() -> None:
    assert all(layer_of(m) in ("runtime", "training") for m in importers("ray"))
    assert importers("mlflow") <= {"molgen.runtime.tracking"}
    assert importers("deepchem") == {"property_models.splits"}
    assert not any(m.startswith("molgen.report") for m in importers("torch"))
    assert "molgen.runtime.tracking" in importers("mlflow")
    assert "molgen.runtime.ray_executor" in importers("ray")


def test_what_is_slow_to_import_is_imported_late() -> None:
    """`molgen --help` reads cli and errors; ray, mlflow and deepchem are for those who use them."""
    for module in MODULES:
        at_once = {i.split(".")[0] for i in imports(module, lazy=False)}
        assert not at_once & {"ray", "mlflow", "deepchem"}, module
        if module in ("molgen", "molgen.cli", "molgen.errors", "molgen.config.base"):
            assert not at_once & {"torch", "rdkit", "numpy", "pandas", "lightgbm"}, module


def test_nothing_is_unpickled_but_the_executors_own_bytes() -> None:
    for module in MODULES:
        if module not in ("molgen.runtime.executor", "molgen.runtime.ray_executor"):
            for node in ast.walk(tree_of(module)):
                if isinstance(node, ast.Call):
                    name = ast.unparse(node.func)
                    assert name not in ("pickle.load", "pickle.loads", "joblib.load"), module
                    assert name != "torch.load", module


def test_no_file_is_longer_than_a_reader_bears() -> None:
    for path in sources("molgen", "property_models", "experiments", "tests"):
        assert len(path.read_text().splitlines()) <= MAX_LINES, path


def config_classes() -> list[type[BaseModel]]:
    from molgen.config import base, campaign, objective, predictor, pretraining

    found = {
        cls
        for module in (campaign, objective, predictor, pretraining)
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if issubclass(cls, base.Section) and cls is not base.Section
    }
    return sorted(found, key=lambda cls: cls.__name__)


# Tags that pydantic itself reads, to tell the members of a union or the versions apart.
_TAGS = {"type", "kind", "schema_version"}


@pytest.mark.parametrize("cls", config_classes(), ids=lambda cls: cls.__name__)
def test_every_config_field_is_read_somewhere(cls: type[BaseModel]) -> None:
    missing = set(cls.model_fields) - _TAGS - attributes_read()
    assert not missing, f"{cls.__name__}: {missing}"


@cache
def attributes_read() -> frozenset[str]:
    """Names read as attributes outside molgen.config, or by a property there that hands them on."""
    read: set[str] = set()
    for module in MODULES:
        tree = tree_of(module)
        roots: list[ast.AST] = [tree]
        if module.startswith("molgen.config."):
            roots = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and is_property(n)]
        for root in roots:
            for node in ast.walk(root):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    read.add(node.attr)
    for template in (ROOT / "molgen" / "report").glob("*.html"):
        read.update(re.findall(r"\.(\w+)", template.read_text()))
    # An endpoint of the user's own becomes an Endpoint by its field names.
    from molgen.config.predictor import EndpointConfig

    return frozenset(read | set(EndpointConfig.model_fields))


def is_property(function: ast.FunctionDef) -> bool:
    return any(ast.unparse(d) == "property" for d in function.decorator_list)
