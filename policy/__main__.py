"""What `pulumi preview --policy-pack policy` runs. Pulumi puts this folder, not the checkout, first on the path."""

from axion_policy.pack import serve

serve()
