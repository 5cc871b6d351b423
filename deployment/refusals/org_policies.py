"""What an organisation's policy forbids, and what to do instead."""

import re

from deployment.refusals.kinds import table

NAME = re.compile(r"\b((?:custom)?constraints)/([a-z]+\.\w+)|[Cc]onstraint '?([a-z]+\.\w+)", re.IGNORECASE)
SECRETS = "Set `axion:secretRegions` to regions that the policy allows: secrets are everywhere by default"
# A stack that has data moves with `fab move`, and within a region: it is never told to change its zone here.
PLACES = "Make the stack in a region that the policy allows"


def org_policy(text: str) -> str:
    """Name the constraint, and the setting to use instead."""
    kind, name = _constraint(text)
    if name is None:
        return "Ask who runs the organisation for an exception, or change the setting that it forbids."
    if name == "gcp.resourceLocations":
        instead = SECRETS if re.search(r"\bsecrets?\b", text, re.IGNORECASE) else PLACES
    else:
        instead = table()["constraints"].get(name, "Change the setting that it forbids")
    if kind == "customconstraints":
        look = f"`gcloud org-policies describe-custom-constraint {name} --organization=NUMBER`"
    else:
        look = f"`gcloud org-policies describe {name} --effective --project=PROJECT`"
    return f"{instead}; or ask for an exception from {name} ({look} tells what it allows)."


def _constraint(text: str) -> tuple[str, str | None]:
    match = NAME.search(text)
    if match:
        return (match[1] or "constraints").lower(), match[2] or match[3]
    return "constraints", next((name for words, name in table()["unnamed"].items() if words in text), None)
