"""The multi-model server: one OpenAI-compatible address in front of one engine per served model.

The only Python of this project that runs on a host. It imports nothing of ours but itself.
"""

# The one number of this project. It stands here because this folder reaches hosts; `make release` changes it.
__version__ = "0.1.0"
