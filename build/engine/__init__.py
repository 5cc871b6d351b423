"""From pins to a sealed engine environment: what to install or compile, with what, and the proofs that seal it."""
