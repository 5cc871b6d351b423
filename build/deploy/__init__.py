"""A deployment: what a host has, what it shall have, the difference, and how it is carried out and undone."""
