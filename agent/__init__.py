"""Scripts that run on a host as `python3 - JSON`: standard library only, one JSON document or JSON lines out."""

from pathlib import Path

LOADER = """\
import sys, types
for name, text in {parts!r}.items():
    sys.modules[name] = module = types.ModuleType(name)
    exec(compile(text, name, "exec"), module.__dict__)
"""
# What judges a checkpoint, each part after those that it imports.
COMPLETENESS = ("formats.py", "layers.py", "safetensors_header.py", "completeness.py")

# What asks the process runner, likewise.
PROCESSES = ("listeners.py", "processes.py", "units.py")


def script(name: str) -> bytes:
    """Return the source of a script here, to be fed to an interpreter on the host."""
    return Path(__file__).with_name(name).read_bytes()


def bundle(name: str, *parts: str) -> bytes:
    """Return a script together with the modules here that it imports, each after those that it imports itself."""
    modules = {f"{__name__}.{part.removesuffix('.py')}": script(part).decode() for part in parts}
    return LOADER.format(parts=modules).encode() + script(name)
