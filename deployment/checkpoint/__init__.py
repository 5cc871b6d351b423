"""What a checkpoint is, read from its own files: shape, quantization and tensors, pinned in the lock file."""
