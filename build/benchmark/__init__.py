"""Measure what a host serves: load through its gateway, beside what the computer could do at most, and a report."""
