"""Shells, languages and a deployment's packages, as a layer over a host's files, installed once."""

import hashlib
import shutil
from pathlib import Path

from tests.support.arm.host import run
from tests.support.machines.overlay import Overlay
from tests.support.machines.root import OUTPUT, Architecture, make_root, one_at_a_time

PACKAGES = ("fish", "libnuma1", "locales-all", "tcsh", "zsh")
OF_THIS_MACHINE = ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt")


def shells_layer(architecture: Architecture = "amd64") -> Path:
    """Return the layer, installing it where it is missing: from where apt of the host's root does."""
    key = hashlib.sha256("\0".join((*PACKAGES, Path(__file__).read_text())).encode()).hexdigest()
    layer = OUTPUT / "layers" / f"shells-{architecture}-{key[:12]}"
    with one_at_a_time(layer):
        if not layer.is_dir():
            _install(architecture, layer)
    return layer


def _install(architecture: Architecture, layer: Path) -> None:
    draft = Overlay(layer.with_suffix(".draft"))
    draft.remove()
    draft.mount((make_root(architecture),))
    try:
        for name in OF_THIS_MACHINE:
            shutil.copy(Path("/") / name, draft.root / name)
        enter = ("chroot", draft.root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C")
        run(*enter, "apt-get", "update", what="read what packages there are", timeout_s=300)
        install = ("apt-get", "install", "--yes", "--no-install-recommends", *PACKAGES)
        run(*enter, *install, what="install shells and languages", timeout_s=900)
        run(*enter, "apt-get", "clean", what="forget what was downloaded")
        for name in (*OF_THIS_MACHINE, "var/lib/apt/lists"):
            changed = draft.directory / "upper" / name
            shutil.rmtree(changed) if changed.is_dir() else changed.unlink(missing_ok=True)
        draft.unmount()
        (draft.directory / "upper").rename(layer)
    finally:
        draft.remove()
