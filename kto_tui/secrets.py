"""Keeps tokens out of what is written down about errors: libraries quote the header they could not send."""

import os
import re

_NAMED = re.compile(r"TOKEN|SECRET|PASSWORD|PASSPHRASE|CREDENTIAL|(API|ACCESS|PRIVATE|LICENSE)_?KEY", re.IGNORECASE)
SHORTEST = 8  # characters: a shorter value is as likely to be an ordinary word


def without_secrets(text: str) -> str:
    """``text`` with the value of every environment variable that is named like a secret replaced by that name."""
    found = {name: value.strip() for name, value in os.environ.items() if _NAMED.search(name)}
    for name, value in sorted(found.items(), key=lambda item: len(item[1]), reverse=True):
        if len(value) >= SHORTEST:
            text = text.replace(value, f"<{name}>")
    return text
