"""Development time: peak memory of real training steps, traced on fake tensors (needs the training packages)."""
