"""What is served: models.yaml, read and checked, and what each engine gets of a host."""

DEFAULT_MODELS = "models.yaml"
"""The file of a host that names none."""
