"""The rules of the policy pack: pure functions on resources, and one module that shows them to Pulumi."""
