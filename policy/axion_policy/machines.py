"""What a machine must be: private, on Hyperdisk, with gVNIC, OS Login and Shielded VM."""

from collections.abc import Iterator

from axion_policy.resource import DISK, INSTANCE, RULES, UNKNOWN, Config, Resource, is_given, rule, shown

AXION_SERIES = ("c4a-", "n4a-")
METAL_SUFFIX = "-metal"
# N4A takes neither Extreme nor ML (Google's documentation of the series, read 2026-06-30).
HYPERDISKS = {
    "c4a-": ("balanced", "balanced-high-availability", "extreme", "ml", "throughput"),
    "n4a-": ("balanced", "balanced-high-availability", "throughput"),
}
ALLOWED = {
    "type": "array",
    "items": {"type": "string"},
    "description": "names of instances, as Google knows them, that may have a public address",
}


@rule(RULES, "no-public-ip", "Hosts have no public address.", INSTANCE, allow=ALLOWED)
def public_ip(instance: Resource, config: Config) -> Iterator[str]:
    """Nobody reaches a host from the internet unless a reviewer has put its name on the list."""
    name = instance.at("name") or instance.name
    allowed = config.get("allow") or ()
    if name in allowed or (name is UNKNOWN and allowed):
        return
    interfaces = instance.at("networkInterfaces")
    for index in range(len(interfaces) if isinstance(interfaces, list | tuple) else 0):
        for key in ("accessConfigs", "ipv6AccessConfigs"):
            configs = instance.at("networkInterfaces", index, key)
            if configs and configs is not UNKNOWN:
                yield (
                    f"networkInterfaces[{index}].{key}: a public address, got {len(configs)}. Remove it and connect "
                    f"through IAP, or have {name} put on `allow` in the pack's configuration."
                )


@rule(RULES, "hyperdisk-only", "Axion machines use Hyperdisk only.", INSTANCE, DISK)
def hyperdisk(resource: Resource, _config: Config) -> Iterator[str]:
    """Axion machines refuse Persistent Disk when they are created, minutes after the preview."""
    if resource.type == DISK:
        found = resource.at("type")
        if found is not UNKNOWN and not _is_hyperdisk(found):
            yield f"type: not a Hyperdisk, got {shown(found, 'pd-standard by default')}. Write hyperdisk-balanced."
        return
    series = _series(resource)
    found = resource.at("bootDisk", "initializeParams", "type")
    # A boot disk that already exists brings its own type.
    if series is None or found is UNKNOWN or is_given(resource.at("bootDisk", "source")):
        return
    allowed = tuple(f"hyperdisk-{kind}" for kind in HYPERDISKS[series])
    if _last(found) not in allowed:
        yield (
            f"bootDisk.initializeParams.type: {series.rstrip('-').upper()} starts from Hyperdisk only, "
            f"got {shown(found, 'pd-standard by default')}. Write hyperdisk-balanced."
        )


@rule(RULES, "gvnic", "Axion machines use gVNIC.", INSTANCE)
def gvnic(instance: Resource, _config: Config) -> Iterator[str]:
    """Axion machines have no other network card; the value is upper-case in Google's API."""
    if _series(instance) is None or str(instance.at("machineType")).endswith(METAL_SUFFIX):
        return
    interfaces = instance.at("networkInterfaces")
    for index in range(len(interfaces) if isinstance(interfaces, list | tuple) else 0):
        found = instance.at("networkInterfaces", index, "nicType")
        if found is not UNKNOWN and found != "GVNIC":
            yield f"networkInterfaces[{index}].nicType: not gVNIC, got {shown(found)}. Write GVNIC."


@rule(RULES, "os-login", "Logins are decided by IAM.", INSTANCE)
def os_login(instance: Resource, _config: Config) -> Iterator[str]:
    """Keys in metadata outlive the people that they belong to; OS Login asks IAM at every login."""
    metadata = instance.at("metadata")
    if metadata is UNKNOWN:
        return
    found = instance.at("metadata", "enable-oslogin")
    if found is not UNKNOWN and str(found).upper() != "TRUE":
        yield f'metadata.enable-oslogin: OS Login is not on, got {shown(found)}. Write "TRUE".'


@rule(RULES, "shielded-vm", "Hosts are Shielded VMs.", INSTANCE)
def shielded_vm(instance: Resource, _config: Config) -> Iterator[str]:
    """All three, or a changed boot chain goes unnoticed."""
    for key in ("enableSecureBoot", "enableVtpm", "enableIntegrityMonitoring"):
        found = instance.at("shieldedInstanceConfig", key)
        if found is not UNKNOWN and found is not True:
            yield f"shieldedInstanceConfig.{key}: not on, got {shown(found)}. Write true."


def _series(instance: Resource) -> str | None:
    machine = _last(instance.at("machineType"))
    return next((series for series in AXION_SERIES if machine.startswith(series)), None)


def _is_hyperdisk(disk_type: object) -> bool:
    return _last(disk_type).startswith("hyperdisk-")


def _last(value: object) -> str:
    """The name at the end of what may be a URL."""
    return value.rpartition("/")[2] if isinstance(value, str) else ""
