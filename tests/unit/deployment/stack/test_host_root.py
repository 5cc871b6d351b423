"""Which directories a host's files may go to: what services cannot see, or what is somebody else's, is refused."""

import json

import pytest

from deployment.errors import ConfigError
from deployment.stack.inventory import parse_inventory
from tests.unit.deployment.stack.test_inventory import HOST, PROD

KIND = (
    "Give an absolute path to a directory of its own that stays, such as /opt/axion, /srv/axion or /data/axion, of "
    "letters, digits and . _ - and at most 66 of them."
)
CHARACTERS = "with characters that units or search paths take for something else"
HOME, SHARED = "below a home, which services do not see", "a directory that many programs share"
SYSTEM, TEMPORARY = "a directory of the system's own", "in a directory of temporary files"
REFUSED = {
    "": "empty",
    "axion": "relative",
    "./axion": "relative",
    "~/axion": "relative",
    " /opt/axion": "relative",
    "/opt/../home/axion": "with . or .. in it",
    "/opt/./axion": "with . or .. in it",
    "/opt/axion/..": "with . or .. in it",
    "/": SHARED,
    "//": SHARED,
    "/opt": SHARED,
    "/opt/": SHARED,
    "/srv": SHARED,
    "/mnt": SHARED,
    "/media": SHARED,
    "/var/lib": SHARED,
    "/home": HOME,
    "/home/axion": HOME,
    "/root": HOME,
    "/tmp": TEMPORARY,
    "/tmp/x": TEMPORARY,
    "/var/tmp": TEMPORARY,
    "/var/tmp/axion": TEMPORARY,
    "/run/x": "in memory, gone at the next boot",
    "/run/user/1000/axion": "in memory, gone at the next boot",
    "/var/run/axion": "in memory, gone at the next boot",
    "/dev/shm/axion": SYSTEM,
    "/proc/x": SYSTEM,
    "/sys/x": SYSTEM,
    "/usr/local/axion": SYSTEM,
    "/etc/axion": SYSTEM,
    "/boot": SYSTEM,
    "/var": SYSTEM,
    "/var/log/axion": SYSTEM,
    "/var/cache/axion": SYSTEM,
    "/opt/my data": CHARACTERS,
    "/opt/axion ": CHARACTERS,
    "/opt/50%": CHARACTERS,
    "/opt/%i": CHARACTERS,
    "/opt/$HOME": CHARACTERS,
    "/opt/a:b": CHARACTERS,
    "/opt/it's": CHARACTERS,
    '/opt/"axion"': CHARACTERS,
    "/opt/a\\b": CHARACTERS,
    "/opt/-axion": CHARACTERS,
    "/opt/a,b": CHARACTERS,
    "/opt/größe": CHARACTERS,
    "/opt/{a}": CHARACTERS,
    "/opt/a;b": CHARACTERS,
    "/srv/" + "a" * 62: "67 characters long, too long for the sockets in it",
}


def read(data_mount: object) -> str:
    return (
        parse_inventory(json.dumps({**PROD, "hosts": {"main": {**HOST, "data_mount": data_mount}}}), "i.json")
        .hosts["main"]
        .data_mount
    )


@pytest.mark.parametrize(("path", "why"), REFUSED.items())
def test_a_directory_that_cannot_hold_a_deployment_is_refused_when_the_inventory_is_read(path: str, why: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(path)
    got = json.dumps(path, ensure_ascii=False)
    got = got if len(got) <= 60 else f"{got[:57]}..."
    end = "" if got.endswith(".") else "."
    assert caught.value.problems == (f"i.json hosts.main.data_mount: {why}, got {got}{end} {KIND}",)


@pytest.mark.parametrize("path", ["/opt/a\nb", "/opt/axion\n"])
def test_a_directory_is_named_on_one_line(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(path)
    assert caught.value.problems == (
        'i.json hosts.main.data_mount: with a character that cannot be printed, got "\\n". Take it out.',
    )


@pytest.mark.parametrize(
    "path",
    [
        *("/opt/axion", "/srv/axion", "/data", "/data/axion", "/mnt/disk-1", "/media/ssd/axion", "/var/lib/axion"),
        *("/var/opt/axion", "/axion", "/opt/.axion", "/optical", "/homes/axion", "/tmpfs", "/srv/" + "a" * 61),
    ],
)
def test_a_directory_of_its_own_is_taken_as_it_is(path: str) -> None:
    assert read(path) == path


@pytest.mark.parametrize("path", ["/opt/axion/", "/opt//axion", "//opt/axion///"])
def test_slashes_that_say_nothing_are_left_out(path: str) -> None:
    assert read(path) == "/opt/axion"
