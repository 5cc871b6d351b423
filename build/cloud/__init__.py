"""What an operator asks Google Cloud and Pulumi about a stack, through their own command lines."""
