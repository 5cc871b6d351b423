"""Machines for the small cloud of `tests/support/fakes/cloud`: what it says that runs, really runs, on this computer.

An instance is a systemd-nspawn host with a network of its own, whose only neighbours are its metadata server and
Google's addresses as this cloud serves them. The way in is Identity-Aware Proxy's, through a `gcloud` that knows it.
"""
