"""Render a plan into the files of a release. Templates hold text; every value is decided before it reaches one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from agent.protocol import RunnerKind
from deployment.models.option_arguments import Brought
from deployment.models.sizing import EnginePlan, Plan
from deployment.models.spec import MAX_DRAIN_S, Deployment, adapter_key
from deployment.render.engine_files import engine_arguments, engine_variables
from deployment.render.release import GATEWAY_CONFIG, RenderedFile, order_path, resources_path, template_path
from gateway.config import GatewayConfig, Listen, ServedModel, Timeouts

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
# Runners must wait longer than a launcher, which itself ends what does not drain. One value for every engine: a
# changed shutdown_timeout must not change the files that all engines share.
RUNNER_STOP_S = MAX_DRAIN_S + 40
# vLLM takes about 7 s to end when nothing is in flight (measured), whatever its shutdown_timeout.
LAUNCHER_STOP_MARGIN_S = 15

HANDOVER = "systemd/gateway-handover.service"
# Below systemd/ lies what belongs into /etc/systemd/system, below etc/ what belongs into /etc.
UNITS = (
    *((unit, f"systemd/{unit}") for unit in ("axion.slice", "axion.target", "vllm@.service")),
    *((f"gateway{kind}", f"systemd/gateway{kind}") for kind in (".socket", ".service", "-restart.service")),
    ("gateway.service", HANDOVER),
    ("journald@axion.conf", "etc/systemd/journald@axion.conf"),
)


KEYS_UNITS = (("gateway-keys.service", "systemd/gateway-keys.service"),)
# In memory and outside every release: no disk, no snapshot and no list of files holds a key.
KEYS_FILE = "/run/axion/gateway-keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a release will run."""

    root: str
    runner: RunnerKind
    user: str = "axion"
    allowed_clients: tuple[str, ...] = ()
    keys: str | None = None
    """What holds the keys that clients must send: a secret's full name, or a file of the host."""
    cxx: str | None = None
    """The compiler that models are compiled with, where torch would not find it by itself."""

    @property
    def python(self) -> str:
        """The engine environment's interpreter; gateway and launchers run on it too."""
        return f"{self.root}/current/build/venv/bin/python"


def render(
    deployment: Deployment,
    plan: Plan,
    place: Place,
    checkpoints: Mapping[str, str],
    templates: Mapping[str, str] | None = None,
) -> list[RenderedFile]:
    """Render every file but the code in lib/.

    `checkpoints` are the directories on the host of models and, as MODEL/ADAPTER, of their adapters; `templates` the
    texts of the chat templates that models have of their own.
    """
    files = [gateway_file(deployment, plan)]
    for name, engine in plan.engines.items():
        text = (templates or {}).get(name)
        brought = Brought(
            template=text,
            template_path=f"{place.root}/current/{template_path(name)}" if text is not None else None,
            adapters={each: checkpoints[adapter_key(name, each)] for each in deployment.models[name].lora},
        )
        files += _engine_files(deployment, engine, place, checkpoints[name], brought)
    runner = _supervisor_files if place.runner == "supervisor" else _systemd_files
    return [*files, *runner(deployment, plan, place)]


def gateway_file(deployment: Deployment, plan: Plan) -> RenderedFile:
    """Dump the gateway's own configuration type, so that file and reader cannot drift apart."""
    config = GatewayConfig(
        listen=tuple(_listen(address) for address in deployment.gateway.listen),
        default_model=deployment.default_model,
        models=tuple(
            ServedModel(
                name=name,
                aliases=model.aliases,
                domain=model.domain,
                description=model.description,
                socket=Path(plan.engines[name].socket),
                adapters=tuple(model.lora),
            )
            for name, model in deployment.models.items()
        ),
        max_body_bytes=int(deployment.gateway.max_body),
        max_held=deployment.gateway.max_held,
        timeouts=Timeouts(**deployment.gateway.model_dump(include=set(Timeouts.model_fields))),
    )
    return RenderedFile(path=GATEWAY_CONFIG, text=json.dumps(config.model_dump(mode="json"), indent=1) + "\n")


def render_template(name: str, values: Mapping[str, Any]) -> str:
    """Render one template; a value that it names and nobody gave is an error."""
    return _environment().get_template(name).render(values)


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - units and configuration, not HTML
    )


def _engine_files(
    deployment: Deployment, engine: EnginePlan, place: Place, checkpoint: str, brought: Brought
) -> list[RenderedFile]:
    model = deployment.models[engine.name]
    stop_s = model.engine.shutdown_timeout + LAUNCHER_STOP_MARGIN_S
    state = f"{place.root}/state/{engine.name}"
    variables = engine_variables(engine, deployment.host.core_policy, state, model.kernels.variable)
    if model.engine.enforce_eager:
        # Without it a request for logprobs starts a compiler, and where there is none the engine dies of it.
        variables.append(("TORCH_COMPILE_DISABLE", "1"))
    elif place.cxx is not None:
        variables.append(("CXX", place.cxx))
    arguments = engine_arguments(model, deployment.checkpoints[engine.name], engine, checkpoint, brought)
    own = [RenderedFile(path=template_path(engine.name), text=brought.template)] if brought.template is not None else []
    return [
        *own,
        RenderedFile(
            path=f"engines/{engine.name}.yaml",
            text=render_template("engine.yaml.j2", {"name": engine.name, "arguments": arguments}),
        ),
        RenderedFile(
            path=f"engines/{engine.name}.env",
            text=render_template("engine.env.j2", {"variables": [*variables, ("AXION_STOP_TIMEOUT_S", str(stop_s))]}),
        ),
    ]


def _supervisor_files(deployment: Deployment, plan: Plan, place: Place) -> list[RenderedFile]:
    values = _shared_values(plan, place)
    return [
        RenderedFile(path=name, text=render_template(f"{name}.j2", values)) for name in ("supervisord.conf", "Procfile")
    ]


def _systemd_files(deployment: Deployment, plan: Plan, place: Place) -> list[RenderedFile]:
    return [*_shared_units(deployment, plan, place), *_drop_ins(deployment, plan)]


def _shared_units(deployment: Deployment, plan: Plan, place: Place) -> list[RenderedFile]:
    listen = [_numeric(address) for address in deployment.gateway.listen]
    values = {
        **_shared_values(plan, place),
        "user": place.user,
        "listen": listen,
        "allowed_clients": [*place.allowed_clients, *_own(listen)],
        "keys": KEYS_FILE if place.keys else "",
        "source": place.keys or "",
        "memory_max_bytes": plan.host.memory_bytes - int(deployment.host.reserved_memory),
        "cores": _system_cores(plan),
    }
    files = []
    for source, path in (*UNITS, *(KEYS_UNITS if place.keys else ())):
        own = {**values, "unit": "handover" if path == HANDOVER else "gateway"}
        files.append(RenderedFile(path=path, text=render_template(f"systemd/{source}.j2", own)))
    return files


def _drop_ins(deployment: Deployment, plan: Plan) -> list[RenderedFile]:
    """What differs between engines. Only the resources need a restart; the order is for the next start."""
    files, previous = [], ""
    for engine in plan.engines.values():
        own = {
            "cores": engine.core_list,
            "memory_high_bytes": engine.footprint.total,
            "memory_max_bytes": engine.footprint.limit,
            "cpu_weight": 100,
            "watchdog_s": deployment.models[engine.name].watchdog_s,
            "stop_s": RUNNER_STOP_S,
            "previous": previous,
        }
        for source, path in (("vllm@.conf", resources_path), ("vllm@.order.conf", order_path)):
            files.append(RenderedFile(path=path(engine.name), text=render_template(f"systemd/{source}.j2", own)))
        previous = engine.name
    return files


def _shared_values(plan: Plan, place: Place) -> dict[str, Any]:
    return {
        "root": place.root,
        "python": place.python,
        "engines": [{"name": name, "stop_s": RUNNER_STOP_S} for name in plan.engines],
        "gateway_stop_s": RUNNER_STOP_S,
    }


def _system_cores(plan: Plan) -> str:
    return ",".join(str(core) for core in plan.system_cores) or "0"


def _own(listen: list[str]) -> list[str]:
    """Addresses of the host itself that it listens on: it asks its own gateway there, and that is no localhost."""
    hosts = {address.rpartition(":")[0] for address in listen}
    return sorted(host for host in hosts if not host.startswith("127.") and host != "0.0.0.0")  # noqa: S104 - compared


def _numeric(address: str) -> str:
    """systemd binds numbers, not names."""
    return address.replace("localhost:", "127.0.0.1:")


def _listen(address: str) -> Listen:
    host, _, port = address.rpartition(":")
    return Listen(host=host, port=int(port))
