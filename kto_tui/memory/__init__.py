"""Peak training memory: arithmetic over a model's shape, and the verdict against what is free."""
