"""The multi-model server: one OpenAI-compatible address in front of one engine per served model.

It travels with every release, and with it what it shares with the launchers of engines (agent/__init__.py).
"""

# The one number of this project. It stands here because this folder reaches hosts; `make release` changes it.
__version__ = "0.1.0"
