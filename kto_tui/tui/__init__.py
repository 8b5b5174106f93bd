"""The full-screen wizard. Never imports torch, transformers, trl or datasets."""
