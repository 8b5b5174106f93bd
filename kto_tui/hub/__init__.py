"""Models from the Hugging Face hub: a child program fetches them, nothing else here needs the hub's library."""
