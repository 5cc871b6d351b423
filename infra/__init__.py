"""Pulumi components: a network, an identity, secrets, a store for models, hosts, and who hears of trouble."""
