"""A small Google Cloud in one process: state, operations, quotas and faults behind Google's own REST paths.

`with running() as cloud:` in a test. Google's discovery documents judge each request and each of its own answers;
`rules.py` says what they cannot know about C4A and N4A.
"""
