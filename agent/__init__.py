"""The one program of ours on a host outside the gateway: `agent.pyz VERB [ARGUMENT...]`, standard library only.

build/remote/agent.py makes the archive and starts it; agent/__main__.py has the verbs. `pull` from a hub, and what is
asked of an engine environment, run by that environment's Python, whose packages they use. What launches an engine
travels with its release as well: runners start it from there.
"""

ARCHIVE_DIGITS = 16
"""Of the archive's SHA-256, in its name on a host."""
LAUNCHER = (
    "__init__", "engine_unit", "launch", "leftovers", "message", "notify", "process_tree", "running", "stop_marker",
    "unix_http", "watchdog",
)  # fmt: skip
"""The modules that a release has in lib/agent to start engines."""
GATEWAY = ("certificate", "client_keys", "durable", "secrets", "starter", "supervisor", "usage")
"""And those that its gateway, its starter, and what brings its keys and its certificate, need. No other change of this
folder restarts a gateway."""
