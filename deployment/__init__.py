"""The pure core: what is served, whether it fits a host, and the files that make it so."""
