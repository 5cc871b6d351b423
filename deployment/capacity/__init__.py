"""What machines should serve: a model of an engine's step, of its queue, and what follows. Nothing here is measured."""
