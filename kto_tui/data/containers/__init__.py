"""Reads the files people have."""
