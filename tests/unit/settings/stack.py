"""A stack's file: what is written there, and where Google, `fab` and the host find it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from build.cli.inventory import remote_target
from build.cloud.up import tries
from deployment.stack.file import SECRETS, read_file
from deployment.stack.inventory import inventory_from
from tests.support.pulumi_program import Recording
from tests.unit.settings import release
from tests.unit.settings.table import Elsewhere, Said, Seen, Setting, made_of, seen

NAME = "walk"
BASE = {
    "gcp:project": "walk-project",
    "gcp:zone": "us-central1-a",
    "axion:maxHourlyUsd": 50,
    "axion:allowUnknown": True,
    "axion:hosts.main.machineType": "c4a-standard-32",
}
HOST, INSTANCE, DATA = "axion:hosts.main", "host-main-instance", "models-data-main"
KEYS = {"axion:gatewayApiKeys": "a-key"}
SPOT = {f"{HOST}.spot": True}
LENT = {"axion:network.subnetwork": "lent"}
KEY = "projects/key-project/locations/us-central1/keyRings/ring/cryptoKeys/walk"
GOOGLE = "https://www.googleapis.com/compute/v1"


def host(key: str, value: Any, arrives: Seen, beside: Mapping[str, Any] | None = None) -> Setting:
    return Setting(f"{HOST}.{key}", value, arrives, beside or {})


HOSTS = (
    host("machineType", "c4a-standard-48",
         {f"{INSTANCE} machineType": "c4a-standard-48", "inventory hosts.main.machine_type": "c4a-standard-48"}),
    host("zone", "us-central1-b",
         {f"{INSTANCE} zone": "us-central1-b", f"{DATA} zone": "us-central1-b", "host-main-boot zone": "us-central1-b",
          "inventory hosts.main.zone": "us-central1-b"}),
    host("zones", ["us-central1-f", "us-central1-c"],
         {f"{INSTANCE} zone": "us-central1-f",
          "fab up": ["main: trying us-central1-f on demand", "main: trying us-central1-c on demand"]}),
    host("spot", True, {f"{INSTANCE} scheduling.provisioningModel": "SPOT"}),
    host("onDemandFallback", True,
         {"fab up": ["main: trying us-central1-a spot", "main: trying us-central1-a on demand"]}, SPOT),
    host("preemptionNoticeSeconds", 77,
         {f"{INSTANCE} scheduling.preemptionNoticeDuration.seconds": 77,
          f"{INSTANCE} metadata.axion-preemption-notice-seconds": "77"}, SPOT),
    host("maxRunHours", 7, {f"{INSTANCE} scheduling.maxRunDuration.seconds": 25200}),
    host("bootDiskGib", 61, {"host-main-boot size": 61}),
    host("bootDiskType", "hyperdisk-next", {"host-main-boot type": "hyperdisk-next"}),
    host("dataDiskGib", 333, {f"{DATA} size": 333}),
    host("dataDiskType", "hyperdisk-ml", {f"{DATA} type": "hyperdisk-ml"}, {f"{HOST}.dataDiskThroughput": 400}),
    host("dataDiskIops", 5432, {f"{DATA} provisionedIops": 5432}),
    host("dataDiskThroughput", 234, {f"{DATA} provisionedThroughput": 234}),
    host("image", "projects/mine/global/images/family/arm64",
         {"host-main-boot image": "projects/mine/global/images/family/arm64"}),
    host("publicIp.allowCidrs", ["203.0.113.0/28"],
         {"network-allow-public-main sourceRanges": ["203.0.113.0/28"],
          f"{INSTANCE} networkInterfaces.0.accessConfigs.0.natIp": "203.0.113.77",
          "host systemd/gateway.socket IPAddressAllow": ["localhost", "203.0.113.0/28"]}, KEYS),
    host("idleStopMinutes", 45, {f"{INSTANCE} metadata.axion-idle-stop-minutes": "45"}),
    host("models", "examples/dev/models.yaml",
         {"fab models file": "examples/dev/models.yaml", "host gateway.json default_model": "phi4_fast"}),
    host("serviceAccount", "serving@corp-accounts.iam.gserviceaccount.com",
         {f"{INSTANCE} serviceAccount.email": "serving@corp-accounts.iam.gserviceaccount.com"}),
)  # fmt: skip

PLACE = (
    Setting("gcp:project", "other-project",
            {"identity-main-logs project": "other-project", "inventory google.project": "other-project"}),
    Setting("gcp:zone", "europe-west4-b",
            {f"{INSTANCE} zone": "europe-west4-b", "network-subnet region": "europe-west4",
             "inventory google.zone": "europe-west4-b"}),
)  # fmt: skip

NETWORK = (
    Setting("axion:network.cidr", "10.77.0.0/24", {"network-subnet ipCidrRange": "10.77.0.0/24"}),
    Setting("axion:network.flowLogs", True, {"network-subnet logConfig.flowSampling": 0.5}),
    Setting("axion:network.gatewayCidrs", ["10.9.0.0/16"],
            {"network-allow-gateway sourceRanges": ["10.9.0.0/16"],
             "host systemd/gateway.socket IPAddressAllow": ["localhost", "10.9.0.0/16"]}, KEYS),
    Setting("axion:network.subnetwork", "projects/lender/regions/us-central1/subnetworks/lent",
            {f"{INSTANCE} networkInterfaces.0.subnetwork":
             f"{GOOGLE}/projects/lender/regions/us-central1/subnetworks/lent"}),
    Setting("axion:network.vpc", "lent-vpc",
            {"network-allow-iap-ssh network": f"{GOOGLE}/projects/walk-project/global/networks/lent-vpc"}, LENT),
)  # fmt: skip

REST = (
    Setting("axion:gatewayApiKeys", "one-key\nanother-key",
            {"secrets-gateway-api-keys-version secretData.value": "one-key\nanother-key",
             "host systemd/gateway-keys.service ExecStart":
             "/usr/bin/python3 -s -P -m agent.secrets projects/the-project/secrets/axion-walk-gateway-api-keys "
             "/run/axion/gateway-key-digests axion"}),
    Setting("axion:hubToken", "a-token",
            {"secrets-hub-token-version secretData.value": "a-token",
             "host fab models-pull credentials.hub_token": "projects/the-project/secrets/axion-walk-hub-token"}),
    Setting("axion:bucket", True,
            {"models-bucket name": "axion-walk-walk-project", "inventory google.bucket": "axion-walk-walk-project"}),
    Setting("axion:budget.monthlyAmount", 4321, {"budget-monthly amount.specifiedAmount.units": "4321"},
            {"axion:budget": {"monthlyAmount": 1, "billingAccount": "012345-6789AB-CDEF01"}}),
    Setting("axion:budget.billingAccount", "111111-222222-333333",
            {"budget-monthly billingAccount": "111111-222222-333333"},
            {"axion:budget": {"monthlyAmount": 1, "billingAccount": "012345-6789AB-CDEF01"}}),
    Setting("axion:alerts.email", "me@example.com", {"alerts-email labels.email_address": "me@example.com"}),
    Setting("axion:labels.team", "serving", {f"{INSTANCE} labels.team": "serving", f"{DATA} labels.team": "serving"}),
    Setting("axion:deleteData", ["axion-walk-data-main"], {f"{DATA} protected": False}),
    Setting("axion:secureBoot", False, {f"{INSTANCE} shieldedInstanceConfig.enableSecureBoot": False}),
    Setting("axion:secretRegions", ["europe-west4"],
            {"secrets-gateway-api-keys replication.userManaged.replicas.0.location": "europe-west4"}),
    Setting("axion:kmsKey", KEY,
            {f"{DATA} diskEncryptionKey.kmsKeySelfLink": KEY, "host-main-boot diskEncryptionKey.kmsKeySelfLink": KEY,
             "secrets-gateway-api-keys "
             "replication.userManaged.replicas.0.customerManagedEncryption.kmsKeyName": KEY}),
    Setting("axion:stopRole", "organizations/12345/roles/stopper",
            {"host-main-stops-itself role": "organizations/12345/roles/stopper"}),
)  # fmt: skip

SETTINGS = (*PLACE, *HOSTS, *NETWORK, *REST)

ELSEWHERE = {
    "gcp:region": Elsewhere("the zone says it already: another one is refused", "test_a_region_must_be_the_zones"),
    "axion:maxHourlyUsd": Elsewhere(
        "a stack that costs more is refused", "test_a_stack_above_its_limit_is_refused_with_its_terms"
    ),
    "axion:allowUnknown": Elsewhere(
        "lets pass what is refused without it", "test_an_unknown_price_is_refused_unless_allowed"
    ),
}


def document(said: Said, models: Path) -> dict[str, Any]:
    """The configuration of a stack of one host, which serves `models` unless it says otherwise."""
    return made_of({**BASE, f"{HOST}.models": str(models)}, said)


def arrivals(config: Mapping[str, Any], recording: Recording, folder: Path) -> Seen:
    """What resources, outputs, `fab` and the host `main` get of a stack."""
    found: dict[str, Any] = {}
    for each in recording.resources:
        found |= {**seen(each.inputs, each.name), f"{each.name} protected": each.protect}
    told = inventory_from(recording.outputs["inventory"])
    found |= {**seen(told.as_data(), "inventory"), **release.of_host(remote_target(told, told.hosts["main"]))}
    return {**found, "fab up": _tried(config, folder)}


def _tried(config: Mapping[str, Any], folder: Path) -> list[str]:
    """Where `fab up` would try the host: it reads the stack's file itself."""
    encrypted = {key: {"secure": "v1:x"} for key in SECRETS if key in config}
    (folder / f"Pulumi.{NAME}.yaml").write_text(yaml.safe_dump({"config": {**config, **encrypted}}))
    settings = read_file(NAME, folder).settings
    assert settings is not None, "the program has taken the same"
    return [each.sentence() for each in tries("main", settings.hosts["main"], settings.zone_of("main"))]
