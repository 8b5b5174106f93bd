"""Engines that train. Only the worker process imports them."""
