"""What rows are to the model: their tokens, counted and shown by the model's own tokenizer in a process of its own."""
