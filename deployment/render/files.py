"""Render a plan into the files of a release. Templates hold text; every value is decided before it reaches one."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from agent.protocol import RunnerKind
from deployment.models import routing
from deployment.models.answer_time import response_s
from deployment.models.sizing import EnginePlan, Plan
from deployment.models.spec import Deployment, Served
from deployment.models.values import MAX_DRAIN_S
from deployment.render.engine_files import engine_arguments, engine_variables
from deployment.render.release import GATEWAY_CONFIG, KEYS_FILE, RenderedFile, order_path, resources_path, template_path
from gateway.config import (
    Capability,
    GatewayConfig,
    Listen,
    Memory,
    OnDemand,
    RouterSettings,
    Routing,
    RoutingRule,
    ServedModel,
    Timeouts,
    TlsFiles,
)

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
STARTER_UNITS = tuple((f"engine-starter{kind}", f"systemd/engine-starter{kind}") for kind in (".socket", ".service"))
STARTER_SOCKET = "/run/axion/starter.sock"
TLS_FILE = "/run/axion/gateway-tls.pem"
"""Of the gateway's user: it holds the certificate and the key, which root alone may read elsewhere."""


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
    def starter(self) -> str:
        """The socket of what starts models on demand: outside the directory that engines may write."""
        return STARTER_SOCKET if self.runner == "systemd" else f"{self.root}/run/engine-starter.sock"

    @property
    def python(self) -> str:
        """The engine environment's interpreter; gateway and launchers run on it too."""
        return f"{self.root}/current/build/venv/bin/python"


def render(deployment: Deployment, plan: Plan, place: Place, directories: Mapping[str, str]) -> list[RenderedFile]:
    """Render every file but the code in lib/.

    `directories` are those on the host of the models' checkpoints and, as MODEL/ADAPTER, of their adapters.
    """
    engines = [file for engine in plan.engines.values() for file in _engine_files(engine, place, directories)]
    runner = _supervisor_files if place.runner == "supervisor" else _systemd_files
    return [gateway_file(deployment, plan, place), *engines, *runner(deployment, plan, place)]


def gateway_file(deployment: Deployment, plan: Plan, place: Place) -> RenderedFile:
    """Dump the gateway's own configuration type, so that file and reader cannot drift apart."""
    config = GatewayConfig(
        listen=tuple(_listen(address) for address in deployment.gateway.listen),
        open=deployment.gateway.open,
        tls=_tls_files(deployment, place.runner),
        default_model=deployment.default_model,
        models=tuple(
            ServedModel(
                name=engine.name,
                aliases=engine.model.aliases,
                domain=engine.model.domain,
                description=engine.model.description,
                socket=Path(engine.socket),
                adapters=tuple(engine.model.lora),
                max_output_tokens=engine.model.max_output_tokens,
                stall_s=engine.model.watchdog_s / 3,
                response_s=response_s(engine.model, deployment.gateway.response_s),
                concurrency=engine.model.concurrency or engine.model.engine.max_num_seqs,
                router_settings={
                    name: RouterSettings(**settings.model_dump())
                    for name, settings in engine.model.router_settings.items()
                },
                capabilities=_capabilities(engine.model),
                on_demand=_on_demand(engine),
            )
            for engine in plan.engines.values()
        ),
        hosts=deployment.gateway.hosts,
        cors_origins=deployment.gateway.cors_origins,
        max_body_bytes=int(deployment.gateway.max_body),
        max_held=deployment.gateway.max_held,
        log_format=deployment.gateway.log_format,
        otlp_socket=None if deployment.gateway.otlp_socket is None else Path(deployment.gateway.otlp_socket),
        routing=_routing(deployment.routing),
        memory=_memory(plan, place),
        timeouts=Timeouts(**deployment.gateway.model_dump(include=set(Timeouts.model_fields))),
    )
    return RenderedFile(path=GATEWAY_CONFIG, text=json.dumps(config.model_dump(mode="json"), indent=1) + "\n")


def _on_demand(engine: EnginePlan) -> OnDemand | None:
    model = engine.model
    if not model.on_demand:
        return None
    idle = {} if model.idle_stop_s is None else {"idle_stop_s": model.idle_stop_s}
    return OnDemand(memory_bytes=engine.memory.total, keep_warm=model.keep_warm, **idle)


def _memory(plan: Plan, place: Place) -> Memory | None:
    return Memory(budget_bytes=plan.on_demand_bytes, starter=Path(place.starter)) if plan.on_demand_bytes else None


def _tls_files(deployment: Deployment, runner: RunnerKind) -> TlsFiles | None:
    tls = deployment.gateway.tls
    if tls is None:
        return None
    own = runner == "supervisor"  # there nobody has more rights than the gateway
    return TlsFiles(certificate=Path(tls.certificate if own else TLS_FILE), key=Path(tls.key if own else TLS_FILE))


def _routing(said: routing.Routing | None) -> Routing | None:
    if said is None:
        return None
    rules = (RoutingRule(name=name, **rule.model_dump()) for name, rule in said.rules.items())
    return Routing(rules=tuple(rules), fallback=said.fallback)


def _capabilities(model: Served) -> tuple[Capability, ...]:
    """What a model takes and gives besides text, as far as its engine is started for it."""
    found: dict[Capability, bool] = {
        "vision": model.takes_pictures,
        "tools": model.parsers.tool_call_parser is not None,
        "thinking": model.parsers.reasoning_parser is not None,
    }
    return tuple(name for name, has in found.items() if has)


def render_template(name: str, values: Mapping[str, Any]) -> str:
    """Render one template; a value that it names and nobody gave is an error."""
    return _environment().get_template(name).render(values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - units and configuration, not HTML
    )
    environment.filters["json"] = json.dumps  # Jinja's own writes < and > as for HTML
    return environment


def _engine_files(engine: EnginePlan, place: Place, directories: Mapping[str, str]) -> list[RenderedFile]:
    model, files, template = engine.model, [], None
    if model.template is not None:
        files.append(RenderedFile(path=template_path(engine.name), text=model.template))
        template = f"{place.root}/current/{template_path(engine.name)}"
    variables = engine_variables(engine, place.root)
    if model.engine.enforce_eager:
        # Without it a request for logprobs starts a compiler, and where there is none the engine dies of it.
        variables.append(("TORCH_COMPILE_DISABLE", "1"))
    elif place.cxx is not None:
        variables.append(("CXX", place.cxx))
    variables.append(("AXION_STOP_TIMEOUT_S", str(model.engine.shutdown_timeout + LAUNCHER_STOP_MARGIN_S)))
    values = {
        "name": engine.name,
        "arguments": engine_arguments(engine, directories, template),
        "variables": variables,
    }
    for kind in ("yaml", "env"):
        text = render_template(f"engine.{kind}.j2", values)
        files.append(RenderedFile(path=f"engines/{engine.name}.{kind}", text=text))
    return files


def _supervisor_files(deployment: Deployment, plan: Plan, place: Place) -> list[RenderedFile]:
    values = _shared_values(plan, place)
    return [
        RenderedFile(path=name, text=render_template(f"{name}.j2", values)) for name in ("supervisord.conf", "Procfile")
    ]


def _systemd_files(deployment: Deployment, plan: Plan, place: Place) -> list[RenderedFile]:
    return [*_shared_units(deployment, plan, place), *_drop_ins(plan)]


def _shared_units(deployment: Deployment, plan: Plan, place: Place) -> list[RenderedFile]:
    listen = [_numeric(address) for address in deployment.gateway.listen]
    values = {
        **_shared_values(plan, place),
        "user": place.user,
        "listen": listen,
        "allowed_clients": [*place.allowed_clients, *_own(listen)],
        "keys": KEYS_FILE if place.keys else "",
        "state": f"{place.root}/state/gateway",
        "source": place.keys or "",
        "tls": _tls_words(deployment, place),
        "memory_max_bytes": plan.host.memory_bytes - int(deployment.host.reserved_memory),
        "cores": _system_cores(plan),
    }
    files = []
    units = (*UNITS, *(KEYS_UNITS if place.keys else ()), *(STARTER_UNITS if plan.on_demand_bytes else ()))
    for source, path in units:
        own = {**values, "unit": "handover" if path == HANDOVER else "gateway"}
        files.append(RenderedFile(path=path, text=render_template(f"systemd/{source}.j2", own)))
    return files


def _tls_words(deployment: Deployment, place: Place) -> str:
    """Return what agent.certificate is told."""
    tls = deployment.gateway.tls
    return "" if tls is None else f"{escaped(tls.certificate)} {escaped(tls.key)} {TLS_FILE} {place.user}"


def escaped(path: str) -> str:
    """Write a path into a command of a unit, where % begins what systemd fills in."""
    return path.replace("%", "%%")


def _drop_ins(plan: Plan) -> list[RenderedFile]:
    """What differs between engines. Only the resources need a restart; the order is for the next start."""
    files, previous = [], ""
    for engine in plan.engines.values():
        own = {
            "cores": engine.allowed_list,
            "memory_high_bytes": engine.memory.total,
            "memory_max_bytes": engine.memory.limit,
            "cpu_weight": 100,
            "watchdog_s": engine.model.watchdog_s,
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
        "engines": [
            {"name": name, "stop_s": RUNNER_STOP_S, "on_demand": engine.model.on_demand}
            for name, engine in plan.engines.items()
        ],
        "starter": place.starter if plan.on_demand_bytes else "",
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
