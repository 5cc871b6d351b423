"""Who may import whom: the layers of docs/architecture.md, read from the sources and from running interpreters."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import GATEWAY, LAUNCHER
from tests.unit.test_tidy import OURS, REPOSITORY, name_of, python_files

# What each part may import besides the standard library and itself. The longest prefix of a file's path counts.
LAYERS: dict[str, set[str]] = {
    "agent/": set(),
    # Run by an engine environment's Python, whose packages these are.
    "agent/hub.py": {"huggingface_hub", "httpx2", "agent"},
    "agent/patience.py": {"httpx2", "agent"},
    # With the build tools on its path, which are what it looks at.
    "agent/requirements.py": {"packaging"},
    # Inside an engine environment, which is what it proves.
    "agent/small_model.py": {"torch", "vllm", "transformers", "tokenizers", "safetensors", "torchvision", "PIL"},
    # What a release says of itself is read on hosts as well.
    "deployment/": {"pydantic", "yaml", "jinja2", "agent.message", "agent.protocol"},
    "deployment/render/files.py": {"jinja2", "deployment", "gateway.config", "agent.protocol"},
    "gateway/__main__.py": {"uvloop", "gateway", "agent.certificate"},
    "gateway/": {
        *("pydantic", "pydantic_core", "aiohttp", "multidict", "yarl", "prometheus_client"),
        *(f"agent.{name}" for name in (*LAUNCHER, *GATEWAY)),
    },
    "build/": {"fabric", "invoke", "paramiko", "rich", "pydantic", "deployment", "agent"},
    # Which bytes a token reads is computed in one place.
    "build/benchmark/": {"bench.expected", "pydantic", "build", "deployment", "agent"},
    "build/cloud/pulumi_cli.py": {"yaml", "build", "deployment"},
    "build/cli/first_answer.py": {"openai", "build", "agent"},
    # What paramiko reads keys with, and whose errors it lets through.
    "build/remote/ssh/identity.py": {"cryptography", "paramiko", "build"},
    "agent/environment.py": {"torch", "vllm", "agent"},
    "agent/stub_dist.py": set(),
    # The environment's torch moves memory and multiplies as its engines do.
    "agent/bench_machine.py": {"torch", "agent"},
    # Pulumi runs a pack with its folder, not the checkout, on the path: it imports nothing of ours but itself.
    "policy/": {"axion_policy"},
    "policy/axion_policy/pack.py": {"pulumi_policy", "axion_policy"},
    "bench/chaos_gateway.py": {"gateway"},
    "bench/": {"aiohttp", "axion_kernels", "pydantic", "rich", "deployment"},
    "infra/": {"pulumi", "pulumi_gcp", "deployment"},
    "plugin/": set(),
    "publishing/": {"build.errors", "build.pins"},
    "__main__.py": {"pulumi", "infra", "deployment"},
    "fabfile.py": {"fabric", "invoke", "build", "deployment.quantities"},
    "examples/": {"torch", "transformers", "tokenizers", "safetensors"},
}
# From the ground up: each folder may import those on floors below its own, and itself. On the ground are modules.
FLOORS = {
    "build": (
        {"errors", "check", "pins", "progress"},
        {"remote"},
        {"runtime", "engine", "checkpoints", "cloud"},
        {"deploy"},
        {"benchmark"},
        {"cli"},
    ),
    "deployment": (
        {
            "errors",
            "sentence",
            "quantities",
            "frozen",
            "document",
            "problems",
            "documented",
        },
        {"checkpoint"},
        {"models", "refusals"},
        {"stack", "render"},
        {"reference", "capacity"},
    ),
}
# They run on a host before, or without, an environment: not even what the package around them may use.
STANDARD_LIBRARY_ONLY = (
    "agent/environment.py", "agent/stub_dist.py",
    *(f"agent/{path.name}" for path in sorted((REPOSITORY / "agent").glob("[a-z]*.py"))
      if path.name not in ("hub.py", "patience.py")),
)  # fmt: skip


def imports(path: Path) -> Iterator[str]:
    """Dotted names that a file imports anywhere, also by importlib with a literal."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: a relative import"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names) if module in OURS else [module]
        elif (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("importlib.import_module", "import_module", "__import__")
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def is_allowed(module: str, allowed: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in allowed)


def allowed_for(name: str) -> set[str] | None:
    """What a file may import of others; None for tests and kernels, which have rules of their own."""
    rules = [prefix for prefix in LAYERS if name == prefix or (prefix.endswith("/") and name.startswith(prefix))]
    if not rules:
        return None
    chosen = max(rules, key=len)
    # A rule for one file says everything; a rule for a package lets it import itself.
    own = {name.partition("/")[0]} if chosen.endswith("/") and chosen.count("/") == 1 else set()
    return LAYERS[chosen] | own


def test_every_import_stays_within_its_layer() -> None:
    wrong = []
    for path in python_files():
        allowed = allowed_for(name_of(path))
        if allowed is not None:
            foreign = (module for module in imports(path) if module.partition(".")[0] not in sys.stdlib_module_names)
            wrong += [f"{name_of(path)}: {module}" for module in foreign if not is_allowed(module, allowed)]
    assert wrong == []


@pytest.mark.parametrize("package", FLOORS)
def test_each_folder_stands_on_those_below_it(package: str) -> None:
    floor_of = {name: number for number, names in enumerate(FLOORS[package]) for name in names}
    wrong = []
    for path in python_files():
        parts = Path(name_of(path)).with_suffix("").parts
        if parts[0] != package or parts[1] == "__init__":
            continue
        for module in imports(path):
            top, _, rest = module.partition(".")
            there = rest.partition(".")[0]
            is_below = top != package or there == parts[1] or floor_of[there] < floor_of[parts[1]]
            if not is_below and floor_of[parts[1]] > 0:
                wrong.append(f"{name_of(path)}: {module}")
    assert wrong == []


def test_every_python_file_belongs_to_a_layer() -> None:
    free = ("tests/", "kernels/")
    assert [
        name for name in map(name_of, python_files()) if allowed_for(name) is None and not name.startswith(free)
    ] == []


def test_only_tests_import_tests_and_kernels_know_nothing_of_the_rest() -> None:
    wrong = []
    for path in python_files():
        name, modules = name_of(path), {module.partition(".")[0] for module in imports(path)}
        if not name.startswith(("tests/", "bench/")) and "tests" in modules:
            wrong.append(name)
        if name.startswith("kernels/") and modules & (OURS - {"tests"}):
            wrong.append(name)
    assert wrong == []


def test_what_runs_on_a_host_before_its_environment_needs_the_standard_library_only() -> None:
    scripts = [REPOSITORY / name for name in STANDARD_LIBRARY_ONLY]
    assert len(scripts) > 6
    for path in scripts:
        top = ast.parse(path.read_text()).body
        names = [alias.name for node in top if isinstance(node, ast.Import) for alias in node.names]
        names += [node.module or "" for node in top if isinstance(node, ast.ImportFrom)]
        # Others of these come with a script that names them: see agent/__init__.py.
        foreign = {name.partition(".")[0] for name in names if not is_allowed(name, {"agent"})}
        assert foreign <= sys.stdlib_module_names, path


@pytest.mark.parametrize("carried", [LAUNCHER, (*LAUNCHER, *GATEWAY)], ids=["launcher", "all"])
def test_what_a_release_has_of_the_agent_needs_the_standard_library_and_itself_only(carried: tuple[str, ...]) -> None:
    allowed = {f"agent.{name}" for name in carried}
    for name in carried:
        for module in imports(REPOSITORY / "agent" / f"{name}.py"):
            inside = is_allowed(module, allowed)
            assert inside or module.partition(".")[0] in sys.stdlib_module_names, f"{name}: {module}"


def said_by(program: str) -> set[str]:
    """The words in the last line that a program prints, in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    return set(done.stdout.splitlines()[-1].split())


def loaded_after(code: str) -> set[str]:
    """Top-level modules in memory after some code."""
    return {name.partition(".")[0] for name in said_by(f"{code}\nimport sys\nprint(' '.join(sys.modules))")}


def test_the_task_list_loads_nothing_heavy() -> None:
    code = "import runpy, sys\nsys.argv = ['fab', '--list']\nimport fabfile"
    assert not loaded_after(code) & {"pulumi", "vllm", "torch", "openai", "aiohttp", "tests"}


def test_launching_an_engine_loads_what_a_release_has_for_it_and_no_package_of_the_gateway() -> None:
    code = "import agent.launch, sys; print(*(name for name in sys.modules if name.startswith('agent.')))"
    loaded = said_by(code)
    assert loaded == {f"agent.{name}" for name in LAUNCHER if name != "__init__"}
    assert not loaded_after("import agent.launch") & {"aiohttp", "pydantic", "yaml", "prometheus_client"}


def test_loading_a_models_file_takes_less_than_half_a_second_from_a_cold_start() -> None:
    """Processor time: the machine may be busy with something else."""
    code = "import time, deployment.models.load; print(time.process_time())"
    times = []
    for _ in range(3):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60)
        times.append(float(done.stdout))
    assert min(times) < 0.5
