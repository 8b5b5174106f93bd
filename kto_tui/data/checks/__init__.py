"""What may be wrong with feedback."""
