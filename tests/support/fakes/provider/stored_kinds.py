"""Secret, SecretVersion, Bucket."""

import base64
from typing import Any, ClassVar

from tests.support.fakes.provider.fields import f, from_rest, int64, nested, only, to_rest
from tests.support.fakes.provider.plain_kinds import PlainKind
from tests.support.fakes.provider.rest import Rest

Json = dict[str, Any]


CMEK = nested("customerManagedEncryption", f("kmsKeyName"))


class Secret(PlainKind):
    """A secret without a value."""

    token = "gcp:secretmanager/secret:Secret"
    item = "projects/{project}/secrets/{secretId}"
    fields = (
        *(f("labels"), f("annotations"), f("ttl"), f("expireTime"), f("versionDestroyTtl")),
        nested(
            "replication",
            nested("auto", CMEK, rest="automatic"),
            nested("userManaged", nested("replicas", f("location"), CMEK, is_list=True)),
        ),
        *only("name", "createTime"),
    )
    client_only = frozenset({"deletionPolicy", "secretId", "deletionProtection"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "deletionProtection": False}
    patched = frozenset({"labels", "annotations", "ttl", "expireTime", "versionDestroyTtl"})
    has_labels = True

    def create(self, rest: Rest, inputs: Json) -> str:
        """Create it under the chosen id."""
        query = {"secretId": inputs["secretId"]}
        rest.call("POST", self.api + self.collection(inputs), self.body(rest, inputs), query)
        return self.id_of(inputs)

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """The real provider looks at the protection itself."""
        if state.get("deletionProtection"):
            raise ValueError(
                f"cannot destroy secret {resource_id} without setting deletion_protection=false and running up"
            )
        super().delete(rest, resource_id, state)


class SecretVersion(PlainKind):
    """A value of a secret; another value is another version."""

    token = "gcp:secretmanager/secretVersion:SecretVersion"
    item = "projects/{number}/secrets/{secret}/versions/{version}"
    fields = only("name", "createTime", "destroyTime")
    client_only = frozenset({"deletionPolicy", "secret", "secretData", "enabled", "isSecretDataBase64"})
    fixed = frozenset({"secretData", "isSecretDataBase64"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "enabled": True, "isSecretDataBase64": False}
    secret_outputs = frozenset({"secretData"})

    def create(self, rest: Rest, inputs: Json) -> str:
        """Add a version; the answer has its name."""
        text = inputs.get("secretData", "")
        data = text if inputs.get("isSecretDataBase64") else base64.b64encode(text.encode()).decode()
        name = str(rest.call("POST", f"v1/{inputs['secret']}:addVersion", {"payload": {"data": data}})["name"])
        if not inputs.get("enabled", True):
            rest.call("POST", f"v1/{name}:disable", {})
        return name

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """With its value while it is enabled, as the real provider reads it; gone when destroyed."""
        body = self.get(rest, resource_id)
        if body is None or body["state"] == "DESTROYED":
            return None
        found = {**from_rest(self.fields, body), "enabled": body["state"] == "ENABLED"}
        if found["enabled"]:
            data = rest.call("GET", f"v1/{resource_id}:access")["payload"]["data"]
            found["secretData"] = base64.b64decode(data).decode()
        return {**found, "version": resource_id.rpartition("/")[2]}

    def imported(self, resource_id: str) -> Json:
        """The secret, for which the program has another spelling than the cloud."""
        return {"secret": resource_id.partition("/versions/")[0]}

    def update(self, rest: Rest, resource_id: str, old: Json, inputs: Json, changed: frozenset[str]) -> None:
        """Switch on or off."""
        if "enabled" in changed:
            rest.call("POST", f"v1/{resource_id}:{'enable' if inputs.get('enabled', True) else 'disable'}", {})

    def delete(self, rest: Rest, resource_id: str, state: Json) -> None:
        """Destroy the value; with the policy DISABLE it is only switched off."""
        verb = "disable" if state.get("deletionPolicy") == "DISABLE" else "destroy"
        rest.call("POST", f"v1/{resource_id}:{verb}", {})


class Bucket(PlainKind):
    """A bucket."""

    token = "gcp:storage/bucket:Bucket"
    item = "{name}"
    api = "storage/v1/b/"
    fields = (
        *(f("name"), f("location"), f("storageClass"), f("labels"), f("requesterPays", "billing.requesterPays")),
        f("uniformBucketLevelAccess", "iamConfiguration.uniformBucketLevelAccess.enabled"),
        f("publicAccessPrevention", "iamConfiguration.publicAccessPrevention"),
        nested("versioning", f("enabled")),
        nested("encryption", f("defaultKmsKeyName")),
        nested("autoclass", f("enabled"), f("terminalStorageClass")),
        nested("softDeletePolicy", int64("retentionDurationSeconds"), f("effectiveTime", output_only=True)),
        nested(
            "lifecycleRules",
            nested("action", f("type"), f("storageClass")),
            nested(
                "condition",
                *(f("age"), f("createdBefore"), f("numNewerVersions"), f("daysSinceNoncurrentTime")),
                *(f("matchesPrefixes", "matchesPrefix"), f("matchesSuffixes", "matchesSuffix")),
                f("matchesStorageClasses", "matchesStorageClass"),
            ),
            rest="lifecycle.rule",
            is_list=True,
        ),
        f("projectNumber", back=int, output_only=True),
        *only("selfLink", "timeCreated", "updated"),
    )
    client_only = frozenset({"deletionPolicy", "forceDestroy"})
    defaults: ClassVar[Json] = {"deletionPolicy": "DELETE", "forceDestroy": False, "storageClass": "STANDARD"}
    patched = frozenset(
        {
            *("storageClass", "labels", "uniformBucketLevelAccess", "publicAccessPrevention", "versioning"),
            *("softDeletePolicy", "lifecycleRules", "requesterPays", "autoclass", "encryption"),
        }
    )
    has_labels = True
    masks_in_query = False
    filled_in = frozenset({"publicAccessPrevention", "uniformBucketLevelAccess", "softDeletePolicy"})
    empty_when_absent = frozenset({"lifecycleRules"})

    def same(self, path: str, new: object, old: object) -> bool:
        """Locations come back in capitals."""
        return path == "location" and str(new).upper() == str(old).upper()

    def create(self, rest: Rest, inputs: Json) -> str:
        """Create it in the project."""
        body = to_rest(self.fields, inputs)
        rest.call("POST", "storage/v1/b", body, {"project": inputs["project"]})
        return str(inputs["name"])

    def read(self, rest: Rest, resource_id: str) -> Json | None:
        """With its address as tools write it."""
        found = super().read(rest, resource_id)
        return None if found is None else {**found, "url": f"gs://{resource_id}"}
