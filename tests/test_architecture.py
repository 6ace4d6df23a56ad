"""The architecture, held by the imports: who may import whom, no cycles, a server that starts light.

Every import statement counts, also one inside a function or under TYPE_CHECKING: a dependency is one anywhere.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("server", "registry", "models")

# --------------------------------------------------------------------------------------------------------------------
# The rules. A name covers its submodules; `x.*` covers only those.

FRAMEWORKS = ("fastapi", "pydantic", "starlette")
INPUT_OUTPUT = (
    "asyncio",
    "http",
    "httpx",
    "multiprocessing",
    "requests",
    "socket",
    "subprocess",
    "urllib.request",
    "uvicorn",
)
RUNNER = ("models.runner.worker", "models.runner.courier", "models.runner.desk", "models.runner.loading")
CHILD_PROCESSES = (*RUNNER, "models.create.child", "models.create.quantize", "models.create.convert.worker")
NATIVE = ("models.llama", "models.engine", "models.sampling")
PURE = (
    "models.templates",
    "models.parsers",
    "models.gguf",
    "models.memory",
    "models.modelfile",
    "models.options",
    "models.errors",
    "models.runner.layout",
    "models.runner.messages",
    "models.runner.settings",
    "registry.names",
    "registry.digest",
    "registry.manifest",
    "registry.gojson",
    "registry.errors",
)


@dataclass(frozen=True)
class Only:
    """`targets` are imported by `importers` and by themselves, by nobody else."""

    targets: tuple[str, ...]
    importers: tuple[str, ...]


@dataclass(frozen=True)
class Never:
    """`importers` do not import `targets`; `besides` are the exceptions among the targets."""

    importers: tuple[str, ...]
    targets: tuple[str, ...]
    besides: tuple[str, ...] = ()


RULES: dict[str, Only | Never] = {
    "nothing below the server imports it": Never(("models", "registry"), ("server",)),
    "the registry stands alone": Never(("registry",), ("models",)),
    "models reach the store only through library, create and builtin": Only(
        ("registry.blobs", "registry.manifests", "registry.store", "registry.prune", "registry.pull", "registry.push"),
        ("registry", "server", "models.library", "models.create", "models.builtin"),
    ),
    "models use the registry's value types where they must": Only(
        ("registry.names", "registry.digest", "registry.manifest", "registry.errors"),
        ("registry", "server", "models.library", "models.create", "models.builtin"),
    ),
    "llama_cpp is bound in one place": Only(("llama_cpp",), ("models.llama",)),
    "native code runs only in child processes": Only(NATIVE, CHILD_PROCESSES + NATIVE),
    "nobody imports the code of a child process": Only(CHILD_PROCESSES, CHILD_PROCESSES),
    "the web framework ends at the routes": Only(
        FRAMEWORKS, ("server.app", "server.serving", "server.errors", "server.streaming", "server.routes")
    ),
    "parsers, templates and value types are pure": Never(PURE, FRAMEWORKS + INPUT_OUTPUT),
    "the native dialect knows no other": Never(
        ("server.routes.native",), ("server.routes.openai", "server.routes.anthropic")
    ),
    "the OpenAI dialect knows no other": Never(
        ("server.routes.openai",), ("server.routes.native", "server.routes.anthropic")
    ),
    "the Anthropic dialect knows no other": Never(
        ("server.routes.anthropic",), ("server.routes.native", "server.routes.openai")
    ),
    "only serve builds the application": Only(
        ("server.app", "server.serving", "server.__main__"), ("server.cli.serve", "server.__main__", "server.serving")
    ),
    "commands reach the server over HTTP": Never(
        ("server.cli",),
        ("server", "registry.store", "registry.blobs", "registry.manifests", "models.library", "models.create"),
        besides=("server.cli", "server.settings", "server.durations", "server.version", "server.serving"),
    ),
}

# --------------------------------------------------------------------------------------------------------------------
# The source


@dataclass(frozen=True)
class Module:
    """One source file; `imports` maps each imported module (or module.name) to the line of the statement.

    `type_only` are those that stand under TYPE_CHECKING and nowhere else.
    """

    name: str
    path: Path
    tree: ast.Module
    imports: dict[str, int] = field(default_factory=dict)
    type_only: frozenset[str] = frozenset()

    def at(self, line: int) -> str:
        return f"{self.path.relative_to(ROOT)}:{line}"


@cache
def modules() -> dict[str, Module]:
    found: dict[str, Module] = {}
    for path in sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        found[name] = Module(name, path, tree, dict(imported_names(tree)), type_only_names(tree))
    return found


def imported_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"line {node.lineno}: import from the full name of the module"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def type_only_names(tree: ast.Module) -> frozenset[str]:
    guards = [n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    rest = ast.Module([n for n in tree.body if n not in guards], type_ignores=[])
    guarded = {name for guard in guards for name, _ in imported_names(ast.Module(guard.body, type_ignores=[]))}
    return frozenset(guarded - dict(imported_names(rest)).keys())


def covers(pattern: str, name: str) -> bool:
    return name == pattern or name.startswith(f"{pattern}.") or fnmatchcase(name, pattern)


def among(name: str, patterns: tuple[str, ...]) -> bool:
    return any(covers(pattern, name) for pattern in patterns)


def violations(rule: Only | Never) -> list[str]:
    found = []
    for module in modules().values():
        for target, line in module.imports.items():
            match rule:
                case Only(targets, importers):
                    wrong = [t for t in targets if covers(t, target)]
                    broken = bool(wrong) and not among(module.name, (*importers, *wrong))
                case Never(importers, targets, besides):
                    broken = among(module.name, importers) and among(target, targets) and not among(target, besides)
            if broken:
                found.append(f"{module.at(line)} imports {target}")
    return found


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
def test_imports_follow_the_rule(rule: Only | Never) -> None:
    found = violations(rule)
    assert not found, "\n".join(found)


def test_there_are_no_import_cycles() -> None:
    """Imports for the type checker alone are left out: an error class may name the type that it carries."""
    known = modules()
    graph = {
        name: {
            candidate
            for target in module.imports.keys() - module.type_only
            for candidate in (target, target.rpartition(".")[0])
            if candidate in known and candidate != name
        }
        for name, module in known.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_every_imported_module_of_ours_exists() -> None:
    """Catches the lazy import of a module that was renamed, which no start-up would notice."""
    known = modules()
    missing = [
        f"{module.at(line)} imports {target}"
        for module in known.values()
        for target, line in module.imports.items()
        if target.split(".")[0] in PACKAGES and target not in known and target.rpartition(".")[0] not in known
    ]
    assert not missing, "\n".join(missing)


ENVIRONMENT_READERS = {"server.settings", "models.llama.openmp"}
"""The second tells a native library what it reads from the environment of its process, and nowhere else."""


def test_only_settings_reads_the_environment() -> None:
    readers = [
        module.at(node.lineno)
        for module in modules().values()
        if module.name not in ENVIRONMENT_READERS
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in {("os", "environ"), ("os", "environb"), ("os", "getenv")}
    ]
    assert readers == []
    assert [m.at(m.imports[t]) for m in modules().values() for t in ("os.environ", "os.getenv") if t in m.imports] == []


def test_packages_hold_only_a_docstring() -> None:
    packages = [m for m in modules().values() if m.path.name == "__init__.py"]
    assert [m.name for m in packages if not ast.get_docstring(m.tree)] == []
    assert [m.name for m in packages if len(m.tree.body) > 1] == []


def test_every_folder_with_code_is_a_package() -> None:
    folders = {m.path.parent for m in modules().values()}
    assert [str(f.relative_to(ROOT)) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_no_module_is_a_drawer_for_the_rest() -> None:
    assert [m for m in modules() if m.rpartition(".")[2] in {"utils", "util", "helpers", "common", "misc"}] == []


# Used without an import statement: models/llama/binding.py loads one module of it; uvicorn's parser of requests.
INDIRECT = {"llama-cpp-python", "httptools"}
DISTRIBUTIONS = {"PIL": "pillow"}
"""Packages that are not imported by their distribution's name."""


def test_what_is_imported_is_declared_and_nothing_else_is() -> None:
    roots = {target.split(".")[0] for module in modules().values() for target in module.imports}
    foreign = roots - set(sys.stdlib_module_names) - set(PACKAGES)
    imported = {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in foreign} | INDIRECT
    with (ROOT / "pyproject.toml").open("rb") as file:
        requirements = tomllib.load(file)["project"]["dependencies"]
    declared = {match[0] for match in (re.match(r"[a-z0-9-]+", line) for line in requirements) if match}
    assert imported == declared


HEAVY = (
    "numpy", "llama_cpp", "gguf", "tokenizers", "huggingface_hub", "jinja2", "llguidance", "rich", "prompt_toolkit",
    "yaml", "PIL",
)  # fmt: skip


def imported_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after the statement."""
    code = f"{statement}; import sys; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return {name.split(".")[0] for name in output.split()}


@pytest.mark.parametrize("statement", ["import server.app", "import server.cli.main"])
def test_the_start_imports_nothing_heavy(statement: str) -> None:
    assert imported_by(statement) & set(HEAVY) == set()
