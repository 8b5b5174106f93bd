"""Feedback data: reading and checking rows, splitting and ordering them."""
