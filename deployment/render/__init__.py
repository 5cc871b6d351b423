"""The files of a release, rendered."""
