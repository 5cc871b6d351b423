"""The commands that compile vLLM on its own machine, with the Arm Compute Library and oneDNN at pinned commits.

Everything that is needed is fetched and checked before the long part begins, and that part may fetch nothing. Wheels
come out of it, and the environment is filled from those, as it is on a host that takes them from elsewhere.
"""

from dataclasses import replace

from build.engine.built_wheels import install_wheels, record_command
from build.engine.commands import begin_commands, pip_install, write_file
from build.engine.kernels_build import kernel_commands, wheel_argv
from build.engine.source_plan import (
    SourceBuild,
    ccache,
    compile_environment,
    compiler_environment,
    facts_of,
    tool_environment,
)
from build.remote.command import Command

FETCH_TIMEOUT_S, COMPILE_TIMEOUT_S = 1800.0, 2.5 * 3600


def source_commands(plan: SourceBuild) -> tuple[Command, ...]:
    """Compile and install everything; ends with a finished environment that is yet to be proven."""
    index_args = plan.sources.index_args
    return (
        *begin_commands(
            plan.pins, plan.build, plan.torch, constraints_text=plan.constraints_text, index_args=index_args
        ),
        *fetch_commands(plan),
        *compile_commands(plan),
        record_command(plan.build, facts_of(plan), repositories=("acl", "onednn")),
        *install_wheels(plan.pins, plan.build, index_args=index_args, has_kernels=bool(plan.kernels)),
        Command(
            argv=("rm", "-rf", "--", str(plan.build.path / "src"), str(plan.tools)),
            what="clear what only the compilation needed",
            timeout_s=300,
        ),
    )


def fetch_commands(plan: SourceBuild) -> tuple[Command, ...]:
    """Bring build tools and sources, each checked: a wheel or archive by version or checksum, a tree by its commit."""
    pins = plan.pins
    onednn = pins.onednn.aarch64 if plan.machine == "aarch64" else f"refs/tags/{pins.onednn.x86_64}"
    return (
        Command(
            argv=("mkdir", "-p", "--", str(plan.wheels), str(plan.source("vllm")), str(ccache(plan))),
            what="make room to compile",
        ),
        pip_install(
            plan.build,
            *plan.sources.index_args,
            *("--no-deps", "--only-binary", ":all:", "--target", str(plan.tools), *pins.vllm.build_requires),
            what="install what vLLM is built with",
        ),
        *_checkout(plan, "acl", pins.acl.repository, pins.acl.commit or f"refs/tags/{pins.acl.tag}"),
        *_checkout(plan, "onednn", pins.onednn.repository, onednn),
        *_sdist(plan),
        replace(
            plan.build.agent.command(
                *("requirements", str(plan.source("vllm") / "requirements" / "build" / "cpu.txt")),
                what="hold the build tools against vLLM's list",
                is_isolated=False,  # `packaging` is one of the tools
            ),
            env=tool_environment(plan),
        ),
    )


def _checkout(plan: SourceBuild, name: str, upstream: str, wanted: str) -> tuple[Command, ...]:
    """One tree without its history. Git names content: a commit that was fetched by its name is that commit."""
    directory, url = str(plan.source(name)), plan.sources.repository(name, upstream)
    # Whoever configured git on that host did so for other work than this.
    git = ("git", "-C", directory, "-c", "transfer.fsckObjects=true", "-c", "protocol.version=2")
    env = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null"}
    said = f"{name} at {wanted.removeprefix('refs/tags/')[:12]}"
    return (
        Command(argv=("git", "init", "--quiet", "--", directory), what=f"begin {name}'s tree", env=env),
        Command(
            argv=(*git, "fetch", "--depth", "1", "--no-tags", "--progress", url, wanted),
            what=f"fetch {said} from {url}",
            env=env,
            timeout_s=FETCH_TIMEOUT_S,
        ),
        Command(
            argv=(*git, "checkout", "--quiet", "--detach", "FETCH_HEAD" if "/" in wanted else wanted),
            what=f"check out {said}",
            env=env,
            timeout_s=300,
        ),
    )


def _sdist(plan: SourceBuild) -> tuple[Command, ...]:
    """Download the pinned archive and unpack it.

    pip runs its setup.py to learn its name, so tools and torch are there by now. For the device `empty`: what it
    requires for CPUs names files by their addresses, which pip takes from no index.
    """
    vllm, folder = plan.pins.vllm, plan.source("sdist")
    listed = plan.build.path / "vllm.txt"
    env = {**tool_environment(plan), "VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": vllm.version}
    return (
        write_file(listed, f"vllm=={vllm.version} --hash=sha256:{vllm.sdist_sha256}\n"),
        Command(
            argv=(
                *(str(plan.build.python), "-P", "-m", "pip", "download", "--disable-pip-version-check", "--no-input"),
                *("--progress-bar", "raw", *plan.sources.index_args, "--no-deps", "--no-binary", "vllm"),
                *("--no-build-isolation", "--require-hashes", "--dest", str(folder), "--requirement", str(listed)),
            ),
            what=f"download the sources of vLLM {vllm.version}",
            env=env,
            cwd=str(plan.build.path),
            timeout_s=FETCH_TIMEOUT_S,
        ),
        Command(
            argv=(
                *("tar", "-xzf", str(folder / f"vllm-{vllm.version}.tar.gz"), "--strip-components", "1"),
                *("-C", str(plan.source("vllm"))),
            ),
            what="unpack the sources of vLLM",
            timeout_s=300,
        ),
    )


def compile_commands(plan: SourceBuild) -> tuple[Command, ...]:
    """The long part: Arm Compute Library, oneDNN and vLLM in one run of vLLM's own build, then our kernels."""
    vllm = replace(
        plan.build.agent.command(
            *("compile", "taskset", "--cpu-list", ",".join(str(core) for core in plan.toolchain.cores)),
            *wheel_argv(plan.build, plan.wheels, plan.source("vllm")),
            what=f"compile vLLM {plan.pins.vllm.version} in {plan.toolchain.jobs} jobs with {plan.toolchain.cxx}",
            timeout_s=COMPILE_TIMEOUT_S,
        ),
        env=compile_environment(plan),
        cwd=str(plan.build.path),
    )
    if not plan.kernels:
        return (vllm,)
    env = {**tool_environment(plan), **compiler_environment(plan)}
    return (vllm, *kernel_commands(plan.build, plan.wheels, files=plan.kernels, env=env))
