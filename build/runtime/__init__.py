"""What keeps a host's processes running: supervisord on this computer, systemd on a host of its own."""
