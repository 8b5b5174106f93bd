"""KTO and SFT on Apple's MLX."""
