"""The multi-model server: one OpenAI-compatible address in front of one engine per served model.

The only Python of this project that runs on a host. It imports nothing of ours but itself.
"""

__version__ = "0.1.0"
