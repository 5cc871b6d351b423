"""The tasks that people type, their options, and what they see."""
