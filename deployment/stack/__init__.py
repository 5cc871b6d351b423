"""Where it runs: a stack's settings, Google's catalog, prices, and the inventory that a stack leaves."""
