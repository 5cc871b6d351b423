"""What models.yaml may say of requests on their way to a model: which model, and with which parameters."""

from pydantic import Field

from deployment.frozen import Count, Frozen, ModelName, Switch
from deployment.models.engine_options import RequestValue
from deployment.models.values import Parameter, Word


class RouterSettings(Frozen):
    """What the gateway changes in a request before the engine gets it."""

    set: dict[Parameter, RequestValue] = Field({}, description="a mapping such as {temperature: 0}")
    """Parameters that every request for this name gets, whatever it says of them."""
    strip: tuple[Parameter, ...] = Field((), description="names of parameters such as top_p")
    """Parameters that are taken out of every request for this name, so that the engine's defaults count."""


class RoutingRule(Frozen):
    """A model, and which requests go there. All conditions that are given must hold."""

    model: ModelName = Field(description="the key of a model")
    """Where these requests go. While it is not ready, the next rule that applies decides."""
    words: tuple[Word, ...] = Field((), description="whole words such as python or función")
    """One of these words is in what the user said last, within its first 4000 characters. Case and accents make no
    difference. A part of a word is not a word: `hi` is not in `which`.
    """
    has_images: Switch | None = Field(None, description="true or false")
    """Whether there is a picture in the conversation."""
    tools: Switch | None = Field(None, description="true or false")
    """Whether the request offers tools."""
    min_prompt_chars: Count | None = Field(None, description="how many characters the user said last, at least")
    """For models that are good at long texts."""


class Routing(Frozen):
    """How the gateway chooses the model for requests that say `auto` or `default`, or nothing."""

    rules: dict[ModelName, RoutingRule] = Field({}, description="a mapping from a rule's name to the rule")
    """The first rule that applies to a request decides, in the order of the file, if its model is ready. The answer's
    header `X-Route-Reason` has the rule's name.
    """
    fallback: ModelName | None = Field(None, description="the key of a model")
    """Where no rule applies. Left out, the default model."""
