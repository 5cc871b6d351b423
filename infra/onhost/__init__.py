"""Runs on a host, on the system's Python, before anything of ours is installed: standard library only."""
