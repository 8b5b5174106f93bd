"""Models and data sets of the Hugging Face hub: a child program fetches them, nothing else needs the hub's library."""
