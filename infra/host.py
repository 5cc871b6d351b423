"""A host: one Axion machine, private, shielded, and able to stop itself and nothing else."""

import hashlib
from dataclasses import dataclass

import pulumi
from pulumi_gcp import compute

from deployment.stack.catalog import Shape
from deployment.stack.one_host import OneHost
from deployment.stack.settings import HostSettings
from infra.naming import Naming, disk_key, owned_by
from infra.startup import DATA_DEVICE

# What the account may do is decided by IAM; Secret Manager accepts no narrower scope than this one.
SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]
SSH_KEYS = 'metadata["ssh-keys"]'
DISK_KEY = "axion-data-disk"


@dataclass(frozen=True, slots=True, kw_only=True)
class AxionHostArgs:
    """What a host needs to know."""

    naming: Naming
    host: str
    zone: str
    machine: OneHost
    data_disk: pulumi.Output[str]
    data_disk_id: pulumi.Output[str]
    subnetwork: pulumi.Output[str]
    egress: pulumi.Resource | None
    """The way out. Without it the startup script could install nothing; a component hands no dependency down."""
    email: pulumi.Output[str]
    member: pulumi.Output[str]
    stop_role: pulumi.Output[str] | None
    startup_script: str
    secure_boot: bool = True
    kms_key: str | None = None


class AxionHost(pulumi.ComponentResource):
    """An instance with its boot and data disks attached, and the right to stop it."""

    instance_name: pulumi.Output[str]
    instance_id: pulumi.Output[str]
    internal_ip: pulumi.Output[str]
    external_ip: pulumi.Output[str | None]

    def __init__(self, name: str, args: AxionHostArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:AxionHost", name, None, opts)
        self._address = self._reserved(name, args) if args.machine.settings.public_ip is not None else None
        instance = self._instance(name, args, self._boot_disk(name, args))
        if args.stop_role is not None:
            compute.InstanceIAMMember(
                f"{name}-stops-itself",
                instance_name=instance.name,
                zone=args.zone,
                role=args.stop_role,
                member=args.member,
                opts=owned_by(self),
            )
        self.instance_name, self.instance_id = instance.name, instance.instance_id
        self.internal_ip = instance.network_interfaces[0].network_ip
        self.external_ip = self._address.address if self._address else pulumi.Output.from_input(None)
        self.register_outputs({"instanceId": self.instance_id, "internalIp": self.internal_ip})

    def _reserved(self, name: str, args: AxionHostArgs) -> compute.Address:
        """An address that stays through stops: an ephemeral one is another after each, and clients would lose it."""
        return compute.Address(
            f"{name}-address",
            name=args.naming.name("address", args.host),
            region=args.zone.rpartition("-")[0],
            network_tier="PREMIUM",
            labels=args.naming.labelled("host"),
            opts=owned_by(self),
        )

    def _boot_disk(self, name: str, args: AxionHostArgs) -> compute.Disk:
        """A disk of its own: an image that is missing or not for Arm is refused here, while the old instance runs."""
        disk, mark = args.machine.boot_disk, image_mark(args.machine.settings)
        return compute.Disk(
            "-".join((f"{name}-boot", *mark)),
            name=args.naming.name("boot", args.host, *mark),
            zone=args.zone,
            image=args.machine.image,
            architecture="ARM64",
            type=disk.type,
            size=disk.size_gib,
            provisioned_iops=disk.iops,
            provisioned_throughput=disk.throughput_mib_s,
            disk_encryption_key=disk_key(args.kms_key),
            labels=args.naming.labelled("host"),
            # A family moves with every release of its image, and would replace the host (pulumi-gcp #284). The provider
            # never reads the architecture back: without this an imported disk would be made anew.
            opts=owned_by(self, ignore_changes=["architecture"] if mark else ["architecture", "image"]),
        )

    def _instance(self, name: str, args: AxionHostArgs, boot: compute.Disk) -> compute.Instance:
        naming, settings = args.naming, args.machine.settings
        labels = naming.labelled("host")
        return compute.Instance(
            f"{name}-instance",
            name=naming.name(args.host),
            zone=args.zone,
            machine_type=settings.machine_type,
            # A new machine type stops the instance, changes it and starts it again: disks and addresses stay.
            allow_stopping_for_update=True,
            boot_disk=compute.InstanceBootDiskArgs(source=boot.self_link, auto_delete=False, device_name="axion-boot"),
            attached_disks=[compute.InstanceAttachedDiskArgs(source=args.data_disk, device_name=DATA_DEVICE)],
            network_interfaces=[_interface(args, self._address)],
            scheduling=_scheduling(settings, args.machine.shape),
            service_account=compute.InstanceServiceAccountArgs(email=args.email, scopes=SCOPES),
            shielded_instance_config=compute.InstanceShieldedInstanceConfigArgs(
                enable_secure_boot=args.secure_boot, enable_vtpm=True, enable_integrity_monitoring=True
            ),
            metadata={
                **metadata(settings, args.startup_script),
                "axion-stack": naming.stack,
                "axion-host": args.host,
                DISK_KEY: args.data_disk_id,
            },
            tags=[naming.name("host"), naming.name("host", args.host)],
            labels=labels,
            opts=owned_by(
                self,
                depends_on=[args.egress] if args.egress else None,
                ignore_changes=[SSH_KEYS],
                # Another disk of the same name has the same link: no change would be seen, and none attached.
                replace_on_changes=[f'metadata["{DISK_KEY}"]'],
            ),
        )


def image_mark(settings: HostSettings) -> tuple[str, ...]:
    """What tells the boot disk of an image that the settings name exactly from those of other images.

    Such a name is an instruction: another image is another disk, made first, and then the host is replaced.
    """
    image = settings.image
    if image is None or "/family/" in image:
        return ()
    return (hashlib.sha256(image.encode()).hexdigest()[:8],)


def metadata(settings: HostSettings, startup_script: str) -> dict[str, str]:
    """What the instance reads of itself. Everybody who may look at it can read it: no secret, no model."""
    ours = {
        "axion-idle-stop-minutes": settings.idle_stop_minutes,
        "axion-preemption-notice-seconds": settings.preemption_notice_seconds if settings.spot else None,
    }
    return {
        "enable-oslogin": "TRUE",
        "enable-guest-attributes": "TRUE",
        "block-project-ssh-keys": "TRUE",
        "serial-port-enable": "FALSE",
        "startup-script": startup_script,
        **{key: str(value) for key, value in ours.items() if value is not None},
    }


def _interface(args: AxionHostArgs, address: compute.Address | None) -> compute.InstanceNetworkInterfaceArgs:
    external = address and [
        compute.InstanceNetworkInterfaceAccessConfigArgs(nat_ip=address.address, network_tier="PREMIUM")
    ]
    return compute.InstanceNetworkInterfaceArgs(
        subnetwork=args.subnetwork,
        nic_type=args.machine.shape.nic_type,
        access_configs=external,
    )


def _scheduling(settings: HostSettings, shape: Shape) -> compute.InstanceSchedulingArgs:
    limit, notice = settings.max_run_hours, settings.preemption_notice_seconds if settings.spot else None
    return compute.InstanceSchedulingArgs(
        provisioning_model="SPOT" if settings.spot else "STANDARD",
        preemptible=settings.spot,
        automatic_restart=not settings.spot,
        on_host_maintenance="MIGRATE" if shape.live_migrates and not settings.spot else "TERMINATE",
        # Stopped rather than deleted: the next `pulumi up` and start find everything in its place.
        instance_termination_action="STOP" if settings.spot or limit else None,
        max_run_duration=compute.InstanceSchedulingMaxRunDurationArgs(seconds=limit * 3600) if limit else None,
        # Before the power button, to whoever asks the metadata server: agent/preemption.py.
        preemption_notice_duration=compute.InstanceSchedulingPreemptionNoticeDurationArgs(seconds=notice)
        if notice
        else None,
    )
