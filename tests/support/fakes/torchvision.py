"""A torchvision made for accelerators, as an import beside torch for CPUs alone meets it: without operators."""

from collections.abc import Mapping

REGISTRATIONS = ("_autograd_registrations", "_meta_registrations")
FILES: Mapping[str, str] = {
    "torchvision/__init__.py": f"from . import extension, {', '.join(REGISTRATIONS)}\n__version__ = '0.28.0+cu130'\n",
    "torchvision/extension.py": "def _has_ops():\n    return False\n",
    **{
        f"torchvision/{name}.py": "raise RuntimeError('operator torchvision::nms does not exist')\n"
        for name in REGISTRATIONS
    },
    "torchvision/transforms/__init__.py": "",
    "torchvision/transforms/v2/__init__.py": "",
}
