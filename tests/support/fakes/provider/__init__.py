"""A stand-in `pulumi-resource-gcp`: Pulumi's provider protocol on one side, the small cloud's REST on the other.

Put this folder first on PATH, and the cloud's address into AXION_FAKE_CLOUD. A resource type or an input that it does
not know is an error, never ignored. Which inputs exist, and what their documentation says of replacement, was read from
the SDK by `refresh.py`.
"""
