"""Show the rules to Pulumi: all of them mandatory, each violation one message."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from axion_policy.resource import UNKNOWN, Config, Finding, Resource, Rule
from axion_policy.rules import RULES, STACK_RULES


def serve() -> None:
    """Answer Pulumi's questions until it has no more. Does not return."""
    policies = [*map(resource_policy, RULES), *map(stack_policy, STACK_RULES)]
    PolicyPack(name="axion", policies=policies, enforcement_level=EnforcementLevel.MANDATORY)


def resource_policy(rule: Rule[Callable[[Resource, Config], Iterator[str]]]) -> ResourceValidationPolicy:
    """Wrap a rule about one resource."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        if rule.types and args.resource_type not in rule.types:
            return
        resource = Resource(type=args.resource_type, urn=args.urn, props=known(args.props))
        for message in rule.judge(resource, args.get_config()):
            report(message, None)

    schema = PolicyConfigSchema(properties={key: dict(value) for key, value in rule.properties.items()})
    return ResourceValidationPolicy(
        name=rule.name,
        description=rule.description,
        validate=validate,
        config_schema=schema if rule.properties else None,
    )


def stack_policy(rule: Rule[Callable[[Sequence[Resource]], Iterator[Finding]]]) -> StackValidationPolicy:
    """Wrap a rule about how resources go together."""

    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for resource, message in rule.judge([_resource(each) for each in args.resources]):
            report(message, resource.urn)

    return StackValidationPolicy(name=rule.name, description=rule.description, validate=validate)


def _resource(each: PolicyResource) -> Resource:
    origins = {key: [origin.urn for origin in found] for key, found in each.property_dependencies.items()}
    return Resource(type=each.resource_type, urn=each.urn, props=known(each.props), origins=origins)


def known(value: Any) -> Any:
    """Plain data, with UNKNOWN in the place of what pulumi_policy raises an error for."""
    if isinstance(value, Mapping):
        return {key: _item(value, key) for key in value}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_item(value, index) for index in range(len(value))]
    return value


def _item(container: Any, key: Any) -> Any:
    try:
        return known(container[key])
    except UnknownValueError:
        return UNKNOWN
