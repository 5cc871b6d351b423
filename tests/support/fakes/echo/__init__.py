"""A provider that takes everything for granted: for tests of what happens before a cloud is asked."""
