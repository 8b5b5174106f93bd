"""The KTO step: exact over the whole effective batch at any micro-batch, without padding or repeated work."""
