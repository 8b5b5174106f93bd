"""Training methods: what data they need, what their loss is, what they advise."""

from typing import Literal

# kto learns from good and bad answers, sft imitates the good ones.
Method = Literal["kto", "sft"]
