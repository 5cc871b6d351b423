"""Debian hosts of our own on this machine, to deploy to over SSH: real systemd and sshd in systemd-nspawn.

`python -m tests.support.machines up NAME` boots one, `down NAME` ends it; tests use `machine.booted`.
"""
