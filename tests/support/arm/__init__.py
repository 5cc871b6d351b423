"""Real vLLM for aarch64 on an x86 machine: an emulated Debian with Arm's wheels in it, and the wheel axion_kernels."""
