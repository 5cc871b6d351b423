"""Checkpoints on a host: downloaded at a pinned commit, checked, and written down."""
