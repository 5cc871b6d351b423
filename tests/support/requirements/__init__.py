"""What a computer needs to run the tests, brought where that is allowed, else named at once and all together.

Runs before there is any environment: standard library only. `python3 -m tests.support.requirements test kernels`.
"""
