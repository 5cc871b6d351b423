"""The rehearsal on an emulated arm64 host: `sudo make rehearse-arm`, which is tests/support/rehearse_arm.py."""
