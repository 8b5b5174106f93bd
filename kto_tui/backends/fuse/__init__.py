"""Writes a base model and its adapter as one Hugging Face folder, file by file and with numpy alone."""
