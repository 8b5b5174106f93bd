"""Completions that begin with their prompt."""

from kto_tui.data.checks.parts import beginning, question
from kto_tui.data.shapes.form import RawRow

# Shorter questions are taken up by good answers too ("Green tea?" - "Green tea is ..."); so are headings and
# keywords that a sentence goes on from, unless they are as long as text that was meant to be continued.
LEAST_CHARACTERS = 20
LEAST_WIDE_CHARACTERS = 8
CONTINUED_CHARACTERS = 80


def echo_end(prompt: str, completion: str) -> int:
    """Where in ``completion`` the repeated ``prompt`` ends; 0 where it does not begin with it."""
    asked = prompt.strip()
    if len(asked) < (LEAST_CHARACTERS if asked.isascii() else LEAST_WIDE_CHARACTERS):
        return 0
    begin = 0
    if completion[:1].isspace():
        begin = len(completion) - len(completion.lstrip())
    if not completion.startswith(asked, begin):
        return 0
    end = begin + len(asked)
    goes_on = asked[-1].isalnum() and completion[end : end + 2].strip(" ").isalnum()
    return 0 if goes_on and len(asked) < CONTINUED_CHARACTERS else end


def repeats_prompt(raw: RawRow) -> bool:
    """Whether the completion begins with what it answers."""
    return echo_end(question(raw.prompt), beginning(raw.completion)) > 0
