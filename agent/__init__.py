"""The one program of ours on a host outside the gateway: `agent.pyz VERB [ARGUMENT...]`, standard library only.

build/remote/agent.py makes the archive and starts it; agent/__main__.py has the verbs. `pull` from a hub, and what is
asked of an engine environment, run by that environment's Python, whose packages they use.
"""
