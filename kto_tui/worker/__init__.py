"""The detached side: a supervisor that watches, and the training process it watches."""
