"""A stack: Pulumi.<stack>.yaml says where, models.yaml what, infra/ how. `pulumi preview` shows it and its price."""

import pulumi

from infra.alerts import Alerts, AlertsArgs
from infra.budget import Budget, BudgetArgs
from infra.configuration import checked_stack, secret_values
from infra.host import AxionHost, AxionHostArgs
from infra.identity import Identity, IdentityArgs
from infra.model_store import ModelStore, ModelStoreArgs
from infra.naming import Naming
from infra.network import Network, NetworkArgs
from infra.outputs import inventory, next_commands, price
from infra.secrets import Secrets, SecretsArgs
from infra.startup import startup_script

checked = checked_stack()
settings = checked.settings
naming = Naming(stack=checked.stack, labels=settings.labels)

network = Network(
    "network",
    NetworkArgs(
        naming=naming,
        project=settings.project,
        region=settings.region,
        cidr=settings.network.cidr,
        flow_logs=settings.network.flow_logs,
        gateway_ports=checked.gateway_ports,
        gateway_cidrs=settings.network.gateway_cidrs,
        public_cidrs={name: host.public_ip.allow_cidrs for name, host in settings.hosts.items() if host.public_ip},
        given_subnetwork=settings.subnetwork,
        given_vpc=settings.network.vpc,
    ),
)
secrets = Secrets(
    "secrets",
    SecretsArgs(naming=naming, values=secret_values(checked), regions=settings.replicas, kms_key=settings.kms_key),
)
store = ModelStore(
    "models",
    ModelStoreArgs(
        naming=naming,
        project=settings.project,
        region=settings.region,
        zones={name: settings.zone_of(name) for name in settings.hosts},
        disks={name: host.data_disk for name, host in checked.hosts.items()},
        bucket=settings.bucket,
        deletable=settings.delete_data,
        kms_key=settings.kms_key,
    ),
)
startup = startup_script()

hosts: dict[str, AxionHost] = {}
for name, host in settings.hosts.items():
    identity = Identity(
        f"identity-{name}",
        IdentityArgs(
            naming=naming,
            host=name,
            project=settings.project,
            secrets=secrets.ids,
            bucket=store.bucket,
            given_account=host.service_account,
            given_stop_role=settings.stop_role,
        ),
    )
    hosts[name] = AxionHost(
        f"host-{name}",
        AxionHostArgs(
            naming=naming,
            host=name,
            zone=settings.zone_of(name),
            machine=checked.hosts[name],
            data_disk=store.disks[name].self_link,
            data_disk_id=store.disks[name].disk_id,
            subnetwork=network.subnetwork,
            egress=network.egress,
            email=identity.email,
            member=identity.member,
            stop_role=identity.stop_role,
            startup_script=startup,
            secure_boot=settings.secure_boot,
            kms_key=settings.kms_key,
        ),
    )

channels = []
if settings.alerts is not None:
    # A host that may stop by itself is no trouble when it is gone.
    always_on = tuple(name for name, host in settings.hosts.items() if host.stays_on)
    alerts = Alerts("alerts", AlertsArgs(naming=naming, email=settings.alerts.email, always_on=always_on))
    channels = [alerts.channel]
if settings.budget is not None:
    Budget("budget", BudgetArgs(naming=naming, settings=settings.budget, project=settings.project, channels=channels))

pulumi.export("inventory", inventory(checked, hosts, secrets, store.bucket))
for output, value in price(checked).items():
    pulumi.export(output, value)
pulumi.export("next", next_commands(checked))
