"""Kernels for LLM inference on Arm (and, slower, on any CPU): torch operators `axion::*` and a vLLM plug-in.

Importing the package does nothing: vLLM swallows exceptions of an import, and a process that wants no kernel should
not load them. `axion_kernels.operators.load()` registers the operators, `axion_kernels.plugin.register()` hooks vLLM.
"""
