"""Ask Google for the images that a stack names itself, before `pulumi up` does.

Whether an image of one's own is there, and built for Axion, only the cloud knows. The boot disk is made from it while
the old instance still runs, so most mistakes cost nothing but the try. A missing driver shows with the new instance
only, and that comes when the old one, whose name and data disk it takes, is gone.
"""

from dataclasses import dataclass, replace
from typing import Any

from build.check import Check
from build.cloud.gcloud import Gcloud
from deployment.stack.minimum import SYSTEMS, is_unfit
from deployment.stack.settings import StackSettings

TIMEOUT_S = 30.0
REFUSED = "`pulumi up` would stop there, and leave the host as it is"
USELESS = "`pulumi up` would bring a host up that cannot serve"
DOWN = "`pulumi up` would take the host down and not bring it back"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageName:
    """Where an image is, from any way that Google's provider lets it be written."""

    project: str
    name: str
    kinds: tuple[str, ...]
    """gcloud's verbs for what the name may mean, in the order in which the provider tries them."""

    @classmethod
    def parse(cls, reference: str, own_project: str) -> "ImageName":
        parts = reference.rpartition("/v1/")[2].split("/")
        is_path = parts[0] == "projects"
        project = parts[1] if is_path else parts[0] if len(parts) > 1 else own_project
        if "family" in parts:
            kinds: tuple[str, ...] = ("describe-from-family",)
        else:
            kinds = ("describe",) if is_path else ("describe", "describe-from-family")
        return cls(project=project, name=parts[-1], kinds=kinds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image, as Google tells of it."""

    architecture: str | None
    status: str
    licenses: tuple[str, ...]
    features: frozenset[str]
    """Of the guest's operating system."""

    @classmethod
    def parse(cls, told: Any) -> "Image":
        """Read compute.v1's Image."""
        return cls(
            architecture=told.get("architecture"),
            status=told.get("status", "READY"),
            licenses=tuple(told.get("licenses", ())),
            features=frozenset(each.get("type") for each in told.get("guestOsFeatures", ())),
        )


def image_checks(settings: StackSettings, gcloud: Gcloud) -> list[Check]:
    """One finding for each image that the settings name."""
    named = sorted({host.image for host in settings.hosts.values() if host.image})
    return [_judged(reference, _found(ImageName.parse(reference, settings.project), gcloud)) for reference in named]


def _found(image: ImageName, gcloud: Gcloud) -> Image | None:
    for kind in image.kinds:
        words = ("compute", "images", kind, image.name)
        found = replace(gcloud, project=image.project).ask_or_none(f"image {image.name}", *words, timeout_s=TIMEOUT_S)
        if found:
            return Image.parse(found)
    return None


def _judged(reference: str, image: Image | None) -> Check:
    wrong, cost = None, REFUSED
    if image is None:
        wrong = "not there"
    elif not image.architecture:
        wrong, cost = "built for an unknown processor, and Axion needs ARM64", DOWN
    elif image.architecture != "ARM64":
        wrong = f"built for {image.architecture}, and Axion needs ARM64"
    elif image.status != "READY":
        wrong = f"not ready: {image.status}"
    elif systems := [each for each in map(_name, image.licenses) if is_unfit(each)]:
        wrong, cost = f"made of {systems[0]}, and engines run on {SYSTEMS}", USELESS
    elif "GVNIC" not in image.features:
        wrong, cost = "without the guest OS feature GVNIC, the only network card that Axion has", DOWN
    name = f"image {_name(reference)}"
    if wrong:
        return Check(name, "fail", f"{wrong}; {cost}. Correct the host's image")
    return Check(name, "pass", f"{reference} is there, for ARM64")


def _name(address: str) -> str:
    return address.rpartition("/")[2]
