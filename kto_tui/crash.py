"""Keeps the details of an unexpected error in a file and gives a person one sentence."""

import tempfile
import traceback

from kto_tui.secrets import without_secrets


def record(error: BaseException) -> str:
    """Write the traceback to a temporary file; returns the sentence that names it."""
    first = without_secrets(next(iter(str(error).splitlines()), ""))
    sentence = f"Something unexpected went wrong ({type(error).__name__}{': ' + first if first else ''})"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="kto-tui-", suffix=".log", delete=False) as file:
            file.write(without_secrets("".join(traceback.format_exception(error))))
    except OSError:
        return f"{sentence}, and its details could not be written to a file."
    return f"{sentence}. Please report it with {file.name}."
