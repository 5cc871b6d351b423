"""Ask Google for the images that a stack names itself, before Pulumi takes down the instance that runs.

Instances have fixed names and hold their data disk, so a new image means: the old instance goes, then the new one
comes. Whether the image is there, and built for Axion, only the cloud knows of an image of one's own.
"""

from dataclasses import dataclass, replace
from typing import Any

from build.cloud.gcloud import Gcloud
from build.doctor import Check
from deployment.stack import StackSettings

TIMEOUT_S = 30.0
COST = "`pulumi up` would take the host down and not bring it back"


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


def image_checks(settings: StackSettings, gcloud: Gcloud) -> list[Check]:
    """One finding for each image that the settings name."""
    named = sorted({host.image for host in settings.hosts.values() if host.image})
    return [_judged(reference, _found(ImageName.parse(reference, settings.project), gcloud)) for reference in named]


def _found(image: ImageName, gcloud: Gcloud) -> dict[str, Any] | None:
    for kind in image.kinds:
        words = ("compute", "images", kind, image.name)
        found = replace(gcloud, project=image.project).ask_or_none(f"image {image.name}", *words, timeout_s=TIMEOUT_S)
        if found:
            return dict(found)
    return None


def _judged(reference: str, image: dict[str, Any] | None) -> Check:
    wrong = None
    if image is None:
        wrong = "not there"
    elif image.get("architecture") != "ARM64":
        wrong = f"built for {image.get('architecture') or 'an unknown processor'}, and Axion needs ARM64"
    elif image.get("status", "READY") != "READY":
        wrong = f"not ready: {image['status']}"
    elif "GVNIC" not in {each.get("type") for each in image.get("guestOsFeatures", ())}:
        wrong = "without the guest OS feature GVNIC, the only network card that Axion has"
    name = f"image {reference.rpartition('/')[2]}"
    if wrong:
        return {"check": name, "verdict": "fail", "finding": f"{wrong}; {COST}. Correct the host's image"}
    return {"check": name, "verdict": "pass", "finding": f"{reference} is there, for ARM64"}
