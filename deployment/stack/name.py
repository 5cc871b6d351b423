"""A stack's name: what Pulumi is given, and what files, labels and the cloud's names have of it."""

import re

from deployment.errors import ConfigError
from deployment.problems import shown

PARTS = re.compile(r"(?:[\w.-]+/){0,2}[\w.-]+", re.ASCII)
FILE = re.compile(r"(?:.*/)?Pulumi\.([^/]+)\.ya?ml")


class StackName(str):
    """`dev`, `acme/dev` or `acme/axion/dev`: text as Pulumi is given it, whose organisation and project are its own.

    Raises ConfigError for what Pulumi could not take either. Of a StackName it makes the same one.
    """

    __slots__ = ()

    def __new__(cls, given: str) -> "StackName":
        """Parse it, here and nowhere else."""
        file = FILE.fullmatch(given)
        if file:
            raise ConfigError([f"--stack: a file's name, got {given}. Give the stack's own: {file[1]}."])
        if not PARTS.fullmatch(given):
            step = "Give its name, or ORGANISATION/PROJECT/NAME, as `pulumi stack ls` tells it"
            raise ConfigError([f"--stack: no stack's name, got {shown(given)}. {step}."])
        return super().__new__(cls, given)

    @property
    def short(self) -> str:
        """What everything of the stack is called by in files and in the cloud."""
        return self.rpartition("/")[2]

    @property
    def file(self) -> str:
        """Where its configuration is."""
        return f"Pulumi.{self.short}.yaml"
