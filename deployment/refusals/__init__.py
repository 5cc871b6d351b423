"""What Google, Pulumi and gcloud refuse, in words, each with its next step. Pure."""
