"""Measurements: what a component costs, on the machine at hand."""
