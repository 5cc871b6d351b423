"""The provider protocol: what the engine asks, answered with the kinds."""

import os
import re
import threading
from collections.abc import Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.empty_pb2 import Empty

from tests.support.fakes.provider import labels, sdk
from tests.support.fakes.provider.checks import PLACES, kind_of, problems
from tests.support.fakes.provider.differences import Comparison, Difference
from tests.support.fakes.provider.kinds import Defaults, Kind, PartlyDoneError, planned
from tests.support.fakes.provider.login import CONFIGURABLE, Login
from tests.support.fakes.provider.protocol import plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2
from tests.support.fakes.provider.rest import OperationError, Rest, RestError, TimedOutError, log_in
from tests.support.fakes.provider.values import UNKNOWN, has_unknown, received, refreshed, sent

Json = dict[str, Any]
VERSION = "10.2.0"
TIMEOUT_S = float(os.environ.get("AXION_FAKE_TIMEOUT_S", "1200"))


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider process: configured once, then asked about many resources at the same time."""

    def __init__(self) -> None:
        self.defaults = Defaults()
        self.is_cancelled = threading.Event()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:
        """The version that the SDK asks for."""
        return plugin_pb2.PluginInfo(version=VERSION)

    def GetSchema(self, request: Any, context: Any) -> Any:
        """Just enough for the CLI."""
        return provider_pb2.GetSchemaResponse(schema=f'{{"name": "gcp", "version": "{VERSION}"}}')

    def CheckConfig(self, request: Any, context: Any) -> Any:
        """Only what the stand-in heeds may be configured."""
        news, _ = received(request.news)
        failures = [
            provider_pb2.CheckFailure(property=name, reason="not known to the stand-in provider. Leave it out.")
            for name in news
            if name not in CONFIGURABLE and name != "version"
        ]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    def DiffConfig(self, request: Any, context: Any) -> Any:
        """Another project makes everything anew; the resources' own differences say so."""
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_UNKNOWN)

    def Configure(self, request: Any, context: Any) -> Any:
        """Remember project, region, zone and default labels."""
        given, _ = received(request.args)
        found = {name: given[name] for name in PLACES if isinstance(given.get(name), str)}
        default_labels = given.get("defaultLabels", {})
        pairs = tuple(sorted(default_labels.items())) if isinstance(default_labels, dict) else ()
        self.defaults = Defaults(**found, labels=pairs)
        log_in(Login.of(given))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=False)

    def Cancel(self, request: Any, context: Any) -> Any:
        """The engine is going; `__main__` sees it go."""
        self.is_cancelled.set()
        return Empty()

    def Invoke(self, request: Any, context: Any) -> Any:
        """No data sources: they do not belong into the graph."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{request.tok}: the stand-in provider has no data sources.")

    def Check(self, request: Any, context: Any) -> Any:
        """Names, types and required inputs by the SDK; then what the stand-in maps; then the kind's own rules."""
        try:
            kind = kind_of(request.urn)
        except KeyError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.args[0])
            raise
        news, secret = received(request.news)
        found = problems(kind, news, self.defaults)
        for name, value in kind.defaults.items():
            if "." not in name:
                news.setdefault(name, value)
        failures = [provider_pb2.CheckFailure(property=path, reason=reason) for path, reason in found]
        return provider_pb2.CheckResponse(inputs=sent(news, secret), failures=failures)

    def _differences(self, request: Any) -> tuple[Kind, list[Difference], Json, Json]:
        kind = kind_of(request.urn)
        news, _ = received(request.news)
        olds, _ = received(request.olds)
        old_inputs, _ = received(request.old_inputs)
        comparison = Comparison(kind, frozenset(request.ignoreChanges))
        found = comparison.differences(kind.placed(news, self.defaults), olds, old_inputs)
        return kind, found, news, olds

    def Diff(self, request: Any, context: Any) -> Any:
        """What differs from the state as last read, by path."""
        _, found, news, olds = self._differences(request)
        replaces = [one.path for one in found if one.replaces]
        detailed = {}
        for one in found:
            name = one.kind + ("_REPLACE" if one.replaces else "")
            detailed[one.path] = provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(name))
        changes = provider_pb2.DiffResponse.DIFF_SOME if found else provider_pb2.DiffResponse.DIFF_NONE
        # Two resources cannot have one name: as the real provider, whenever the program chose the name.
        keeps_name = bool(replaces) and "name" in news and news.get("name") == olds.get("name")
        return provider_pb2.DiffResponse(
            replaces=replaces,
            changes=changes,
            diffs=sorted({one.top for one in found}),
            detailedDiff=detailed,
            hasDetailedDiff=True,
            deleteBeforeReplace=keeps_name,
        )

    def _labelled(self, kind: Kind, inputs: Json) -> Json:
        return {**inputs, "labels": labels.wanted(inputs, self.defaults)} if kind.has_labels else inputs

    def _outputs(self, kind: Kind, rest: Rest, resource_id: str, inputs: Json) -> Json | None:
        there = kind.read(rest, resource_id)
        if there is None:
            return None
        if kind.has_labels:
            there |= labels.outputs(there.get("labels", {}), inputs, self.defaults)
        # What the cloud does not tell again, such as a secret's text, stays as it was given.
        return {**{name: value for name, value in inputs.items() if name not in there}, **there}

    def _planned(self, kind: Kind, inputs: Json, olds: Json) -> Json:
        """Outputs in a preview: what is left out is none, filled in by the cloud, or not known yet."""
        names = set(sdk.types()[kind.token]["outputs"]) - kind.empty_when_absent
        computed = {name: olds.get(name, UNKNOWN) for name in names if name not in inputs}
        return {**computed, **planned(inputs, olds, kind.filled_in)}

    def Create(self, request: Any, context: Any) -> Any:
        """Make it and read it; in a preview say what is not known yet."""
        kind = kind_of(request.urn)
        inputs, secret = received(request.properties)
        secret |= kind.secret_outputs
        placed = kind.placed(inputs, self.defaults)
        if request.preview:
            return provider_pb2.CreateResponse(properties=sent(self._planned(kind, placed, {}), secret))
        assert not has_unknown(placed), f"{request.urn}: an unknown value outside a preview"
        rest = Rest(request.timeout or TIMEOUT_S)
        resource_id = self._tried(
            context, f"Error creating {kind.noun}", lambda: kind.create(rest, self._labelled(kind, placed))
        )
        try:
            outputs = self._outputs(kind, rest, resource_id, placed)
        except (RestError, TimedOutError, PartlyDoneError) as error:
            self._init_failed(
                context, resource_id, placed, inputs, f"Error reading {kind.noun} after creation: {error}"
            )
        return provider_pb2.CreateResponse(id=resource_id, properties=sent(outputs or placed, secret))

    def Read(self, request: Any, context: Any) -> Any:
        """For refresh and import: outputs, and inputs with what has drifted."""
        kind = kind_of(request.urn)
        inputs, secret = received(request.inputs)
        state, more = received(request.properties)
        rest = Rest(request.timeout or TIMEOUT_S)
        given = kind.placed({}, self.defaults) | ({**state, **inputs} if inputs else kind.imported(request.id))
        outputs = self._tried(
            context, f"Error reading {kind.noun}", lambda: self._outputs(kind, rest, request.id, given)
        )
        if outputs is None:
            return provider_pb2.ReadResponse()
        shape = sdk.types()[kind.token]["inputs"]
        if inputs:
            found = {name: refreshed(value, outputs.get(name)) for name, value in inputs.items()}
        else:
            found = {name: value for name, value in outputs.items() if name in shape and name in kind.known()}
        secret |= more | kind.secret_outputs
        return provider_pb2.ReadResponse(id=request.id, properties=sent(outputs, secret), inputs=sent(found, secret))

    def Update(self, request: Any, context: Any) -> Any:
        """Make the changes that need no new resource."""
        kind, found, news, olds = self._differences(request)
        _, secret = received(request.news)
        secret |= kind.secret_outputs
        placed = kind.placed(news, self.defaults)
        if request.preview:
            return provider_pb2.UpdateResponse(properties=sent(self._planned(kind, placed, olds), secret))
        rest = Rest(request.timeout or TIMEOUT_S)
        changed = frozenset(one.top for one in found)
        wanted = self._labelled(kind, placed)
        self._tried(
            context, f"Error updating {kind.noun}", lambda: kind.update(rest, request.id, olds, wanted, changed)
        )
        outputs = self._tried(
            context, f"Error reading {kind.noun}", lambda: self._outputs(kind, rest, request.id, placed)
        )
        return provider_pb2.UpdateResponse(properties=sent(outputs or placed, secret))

    def Delete(self, request: Any, context: Any) -> Any:
        """Delete; that it is gone already is fine."""
        kind = kind_of(request.urn)
        state, _ = received(request.properties)
        policy = state.get("deletionPolicy", "DELETE")
        if policy == "PREVENT":
            context.abort(grpc.StatusCode.UNKNOWN, f"cannot destroy {kind.noun}: deletionPolicy is PREVENT")
        rest = Rest(request.timeout or TIMEOUT_S)

        def delete() -> None:
            try:
                kind.delete(rest, request.id, state)
            except RestError as error:
                if error.code != 404:
                    raise

        if policy != "ABANDON":
            self._tried(context, f"Error deleting {kind.noun}", delete)
        return Empty()

    def _tried(self, context: Any, what: str, act: Callable[[], Any]) -> Any:
        """Run it; a refusal goes to the engine in the real provider's words."""
        try:
            return act()
        except OperationError as error:
            verb = re.sub(r"^Error (\w+?)(?:ing|e?ing) .*", r"\1", what)
            context.abort(grpc.StatusCode.UNKNOWN, f"{what}: Error waiting for {verb}: {error}")
        except (RestError, TimedOutError, ValueError) as error:
            context.abort(grpc.StatusCode.UNKNOWN, f"{what}: {error}")
        raise AssertionError("abort raises")

    def _init_failed(self, context: Any, resource_id: str, outputs: Json, inputs: Json, reason: str) -> NoReturn:
        """Tell the engine that the resource exists although something failed, so that it is not lost."""
        detail = AnyMessage()
        detail.Pack(
            provider_pb2.ErrorResourceInitFailed(
                id=resource_id, properties=sent(outputs), inputs=sent(inputs), reasons=[reason]
            )
        )
        status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=reason, details=[detail])
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.UNKNOWN, reason)
        raise AssertionError("abort raises")
