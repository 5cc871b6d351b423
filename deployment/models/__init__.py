"""What is served: models.yaml, read and checked, and what each engine gets of a host."""
