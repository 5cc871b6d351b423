"""Types of the newer APIs: no operations to wait for, and a PATCH with an update mask."""

from typing import Any, ClassVar

from tests.support.fakes.provider.fields import f, from_rest, nested, only, to_rest
from tests.support.fakes.provider.kinds import Kind
from tests.support.fakes.provider.rest import Rest

Json = dict[str, Any]


class PlainKind(Kind):
    """What they share; `api` is the version in front of the id."""

    api = "v1/"
    masks_in_query: ClassVar[bool] = True

    def patch(self, rest: Rest, resource_id: str, inputs: Json, changed: frozenset[str]) -> None:
        """One PATCH whose mask names what changed."""
        wanted = {name: inputs.get(name, self.empty(name)) for name in changed}
        tops = {field.where.partition(".")[0] for field in self.fields if field.name in changed}
        query = {"updateMask": ",".join(sorted(tops))} if self.masks_in_query else None
        rest.call("PATCH", self.api + resource_id, self.changed_body(to_rest(self.fields, wanted)), query)

    def changed_body(self, body: Json) -> Json:
        """What a PATCH sends, for those that wrap it."""
        return body

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """Delete."""
        rest.call("DELETE", self.api + resource_id)


class Account(PlainKind):
    """A service account."""

    token = "gcp:serviceaccount/account:Account"
    item = "projects/{project}/serviceAccounts/{email}"
    fields = (f("displayName"), f("description"), *only("email", "name", "uniqueId"))
    client_only = frozenset({"deletionPolicy", "accountId"})
    fixed = frozenset({"accountId"})
    patched = frozenset({"displayName", "description"})

    def create(self, rest: Rest, inputs: Json) -> str:
        """Create it; the answer has the address."""
        body = {"accountId": inputs["accountId"], "serviceAccount": to_rest(self.fields, inputs)}
        return str(rest.call("POST", f"v1/projects/{inputs['project']}/serviceAccounts", body)["name"])

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """With the forms in which others refer to it."""
        found = super().read(rest, resource_id)
        if found is None:
            return None
        return {**found, "accountId": found["email"].partition("@")[0], "member": f"serviceAccount:{found['email']}"}

    def patch(self, rest: Rest, resource_id: str, inputs: Json, changed: frozenset[str]) -> None:
        """This API has the mask in the body."""
        account = {name: inputs.get(name, "") for name in changed}
        body = {"serviceAccount": account, "updateMask": ",".join(sorted(changed))}
        rest.call("PATCH", self.api + resource_id, body)


class CustomRole(PlainKind):
    """A custom role; Google keeps the id of a deleted one, and the real provider then undeletes it."""

    token = "gcp:projects/iAMCustomRole:IAMCustomRole"
    item = "projects/{project}/roles/{roleId}"
    fields = (
        *(f("title"), f("description"), f("stage")),
        f("permissions", "includedPermissions"),
        *only("name"),
    )
    client_only = frozenset({"deletionPolicy", "roleId"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "stage": "GA"}
    patched = frozenset({"title", "description", "stage", "permissions"})

    def create(self, rest: Rest, inputs: Json) -> str:
        """Create it, or bring it back and make it what it shall be."""
        resource_id = self.id_of(inputs)
        there = rest.get(self.api + resource_id)
        if there is not None and there.get("deleted"):
            rest.call("POST", f"v1/{resource_id}:undelete", {})
            self.patch(rest, resource_id, inputs, self.patched & set(inputs))
            return resource_id
        if there is not None:
            raise ValueError(f"Custom project role {resource_id} already exists and must be imported")
        body = {"roleId": inputs["roleId"], "role": to_rest(self.fields, inputs)}
        rest.call("POST", f"v1/projects/{inputs['project']}/roles", body)
        return resource_id

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """A deleted role is gone for us."""
        body = self.get(rest, resource_id)
        if body is None or body.get("deleted"):
            return None
        return {**self.variables(resource_id), **from_rest(self.fields, body), "deleted": False}


AGGREGATIONS = nested(
    "aggregations",
    *(f("alignmentPeriod"), f("perSeriesAligner"), f("crossSeriesReducer"), f("groupByFields")),
    is_list=True,
)
TRIGGER = nested("trigger", f("count"), f("percent"))
CONDITIONS = nested(
    "conditions",
    f("displayName"),
    f("name", output_only=True),
    nested(
        "conditionThreshold",
        *(f("filter"), f("comparison"), f("duration"), f("thresholdValue"), f("denominatorFilter")),
        *(f("evaluationMissingData"), AGGREGATIONS, TRIGGER),
        nested("denominatorAggregations", *AGGREGATIONS.inner, is_list=True),
    ),
    nested("conditionAbsent", f("filter"), f("duration"), AGGREGATIONS, TRIGGER),
    nested("conditionMatchedLog", f("filter"), f("labelExtractors")),
    nested("conditionMonitoringQueryLanguage", f("query"), f("duration"), f("evaluationMissingData"), TRIGGER),
    nested(
        "conditionPrometheusQueryLanguage",
        *(f("query"), f("duration"), f("evaluationInterval"), f("alertRule"), f("ruleGroup"), f("labels")),
        f("disableMetricValidation"),
    ),
    is_list=True,
)


class ServiceNamedKind(PlainKind):
    """The service chooses the name, which is the id."""

    def create(self, rest: Rest, inputs: Json) -> str:
        """Create; the answer has the name."""
        return str(rest.call("POST", self.api + self.collection(inputs), self.body(rest, inputs))["name"])


class AlertPolicy(ServiceNamedKind):
    """An alert policy."""

    token = "gcp:monitoring/alertPolicy:AlertPolicy"
    item = "projects/{project}/alertPolicies/{number}"
    api = "v3/"
    fields = (
        *(f("displayName"), f("combiner"), f("enabled"), f("notificationChannels"), f("userLabels"), f("severity")),
        CONDITIONS,
        nested("documentation", f("content"), f("mimeType"), f("subject")),
        nested("alertStrategy", f("autoClose"), f("notificationPrompts"), nested("notificationRateLimit", f("period"))),
        *only("name"),
    )
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "enabled": True}
    patched = frozenset(field.name for field in fields if not field.output_only)
    filled_in = frozenset({"conditions.name"})
    empty_when_absent = frozenset({"notificationChannels", "userLabels"})


class NotificationChannel(ServiceNamedKind):
    """Where alerts go."""

    token = "gcp:monitoring/notificationChannel:NotificationChannel"
    item = "projects/{project}/notificationChannels/{number}"
    api = "v3/"
    fields = (
        *(f("type"), f("displayName"), f("description"), f("enabled"), f("labels"), f("userLabels")),
        *only("name", "verificationStatus"),
    )
    client_only = frozenset({"deletionPolicy", "forceDelete"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "enabled": True, "forceDelete": False}
    patched = frozenset({"type", "displayName", "description", "enabled", "labels", "userLabels"})

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """By force if so wished."""
        query = {"force": "true"} if state.get("forceDelete") else None
        rest.call("DELETE", self.api + resource_id, query=query)


class Budget(ServiceNamedKind):
    """A budget of a billing account."""

    token = "gcp:billing/budget:Budget"
    item = "billingAccounts/{billingAccount}/budgets/{uuid}"
    fields = (
        *(f("displayName"), f("ownershipScope")),
        nested(
            "amount",
            f("lastPeriodAmount", out=lambda value: {}, back=lambda value: True),
            nested("specifiedAmount", f("currencyCode"), f("units"), f("nanos")),
        ),
        nested(
            "budgetFilter",
            *(f("projects"), f("services"), f("calendarPeriod"), f("creditTypesTreatment"), f("subaccounts")),
            f(
                "labels",
                out=lambda value: {key: [one] for key, one in value.items()},
                back=lambda value: {key: one[0] for key, one in value.items()},
            ),
        ),
        nested("thresholdRules", f("thresholdPercent"), f("spendBasis"), is_list=True),
        nested(
            "allUpdatesRule",
            *(f("pubsubTopic"), f("schemaVersion"), f("monitoringNotificationChannels")),
            *(f("disableDefaultIamRecipients"), f("enableProjectLevelRecipients")),
            rest="notificationsRule",
        ),
        *only("name"),
    )
    client_only = frozenset({"deletionPolicy", "billingAccount"})
    filled_in = frozenset(
        {
            *("budgetFilter", "budgetFilter.calendarPeriod", "budgetFilter.creditTypesTreatment", "ownershipScope"),
            *("amount.specifiedAmount.currencyCode", "thresholdRules.spendBasis"),
        }
    )
    patched = frozenset(field.name for field in fields if not field.output_only)
