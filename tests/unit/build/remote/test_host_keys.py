"""Which keys count as a host's: what is published is untrusted input, files are read as OpenSSH writes them."""

import base64
import subprocess
from pathlib import Path

import pytest

from build.errors import DeployError
from build.remote.ssh.host_keys import HostKey, keys_in_file, parse_key, read_guest_attributes, store_keys, stored_keys
from tests.support.ssh_server import make_key


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("key") / "key"
    make_key(path)
    return path.with_suffix(".pub").read_text().split()[1]


def attribute(key: str, value: str) -> dict[str, str]:
    return {"key": key, "namespace": "hostkeys", "value": value}


def test_keys_are_read_as_gcloud_prints_them_the_best_first(encoded: str, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(tmp_path / "rsa")], check=True)
    rsa = (tmp_path / "rsa.pub").read_text().split()[1]
    listed = [attribute("ssh-rsa", rsa), attribute("ssh-ed25519", f" {encoded}\n")]
    for answer in (listed, {"queryPath": "hostkeys/", "queryValue": {"items": listed}}):
        assert [(key.type, base64.b64encode(key.blob).decode()) for key in read_guest_attributes(answer)] == [
            ("ssh-ed25519", encoded),
            ("ssh-rsa", rsa),
        ]


@pytest.mark.parametrize(
    "bend",
    [
        lambda good: ("ssh-ed25519", good[:-4]),
        lambda good: ("ssh-ed25519", good.replace("A", "!", 1)),
        lambda good: ("ssh-ed25519", f"{good}\nother-host ssh-ed25519 {good}"),
        lambda good: ("ssh-ed25519", ""),
        lambda good: ("ssh-rsa", good),
        lambda good: ("ssh-dss", good),
        lambda good: ("* ssh-ed25519", good),
        lambda good: ("ssh-ed25519", base64.b64encode(b"\x00\x00\x00\x0bssh-ed25519").decode()),
    ],
)
def test_what_is_not_exactly_a_key_is_none(encoded: str, bend: object) -> None:
    """Any program on the host can write its guest attributes."""
    type_, value = bend(encoded)  # type: ignore[operator] # a lambda of the table above
    assert parse_key(type_, value) is None
    assert read_guest_attributes([attribute(type_, value)]) == ()


@pytest.mark.parametrize("answer", [None, [], {}, {"queryValue": None}, {"queryValue": {"items": []}}])
def test_nothing_published_is_no_key(answer: object) -> None:
    assert read_guest_attributes(answer) == ()


def test_a_fingerprint_is_the_one_that_ssh_keygen_shows(encoded: str, tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_text(f"ssh-ed25519 {encoded}\n")
    told = subprocess.run(["ssh-keygen", "-lf", str(tmp_path / "key.pub")], capture_output=True, text=True, check=True)
    key = parse_key("ssh-ed25519", encoded)
    assert key is not None
    assert key.fingerprint == f"ssh-ed25519 {told.stdout.split()[1]}"


def test_hashed_and_plain_names_of_a_known_hosts_file_are_found(encoded: str, tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(
        f"# a comment\n\n[10.0.0.1]:2222 ssh-ed25519 {encoded} me@here\nother,10.0.0.2 ssh-ed25519 {encoded}\n"
    )
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(path)], check=True, capture_output=True)
    assert "10.0.0.1" not in path.read_text()
    for name in ("[10.0.0.1]:2222", "other", "10.0.0.2"):
        assert [key.line for key in keys_in_file(path, name)] == [f"ssh-ed25519 {encoded}"]
    assert keys_in_file(path, "10.0.0.1") == ()


def test_a_known_hosts_file_with_a_mistake_or_none_at_all_is_named(encoded: str, tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"main ssh-ed25519 {encoded}\nmain ssh-ed25519 nonsense\n")
    with pytest.raises(DeployError) as caught:
        keys_in_file(path, "main")
    assert str(caught.value) == (
        f'{path}:2: not a host key, got "main ssh-ed25519 nonsense". Give `address type base64`.'
    )
    with pytest.raises(DeployError) as caught:
        keys_in_file(tmp_path / "no", "main")
    assert str(caught.value) == (
        f"{tmp_path}/no: cannot read the known hosts: No such file or directory. Name a file that ssh-keyscan wrote."
    )


def test_kept_keys_are_read_back(encoded: str, tmp_path: Path) -> None:
    key = HostKey(type="ssh-ed25519", blob=base64.b64decode(encoded))
    path = tmp_path / "host_keys" / "4711"
    assert stored_keys(path) == ()
    store_keys(path, [key], "main, instance 4711")
    assert stored_keys(path) == (key,)
    assert path.read_text() == f'# "main, instance 4711"\nssh-ed25519 {encoded}\n'
    assert [each.name for each in path.parent.iterdir()] == ["4711"]
