"""kto-tui: from "what is this machine?" to a preference-tuned language model, in one terminal."""

__version__ = "0.1.0"
