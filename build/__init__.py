"""Fabric tasks that turn a description of models into a serving host.

This package shadows the packaging tool of the same name, which the project does not use.
"""
