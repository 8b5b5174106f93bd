"""Training methods: what data they need, what their loss is, what they advise."""
