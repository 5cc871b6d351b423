"""A host, here or over SSH: the way to it, what runs a command there, its lock, its long jobs."""
