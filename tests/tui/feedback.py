"""Feedback as people export it, with what goes wrong in it."""

import csv
from pathlib import Path

QUESTIONS = ["How do I reset the pump?", "Which filter fits?", "May it run dry?", "What does the yellow lamp mean?"]
ANSWERS = ["Hold MODE for five seconds.", "The F-20.", "No, the seal would wear.", "The inlet pressure is low."]


def write_csv(
    path: Path, rows: list[tuple[object, ...]], header: tuple[str, ...] = ("question", "answer", "feedback")
) -> Path:
    """A file with a header and these rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def sound_rows(count: int) -> list[tuple[object, ...]]:
    """Rows that nothing is wrong with but that two in three are liked."""
    return [
        (
            f"{QUESTIONS[i % 4]} (unit {i})",
            f"{ANSWERS[i % 4]} Ticket {i * 7919 % 1000}.",
            "down" if i % 3 == 2 else "up",
        )
        for i in range(count)
    ]


def troubled_csv(path: Path) -> Path:
    """60 rows: 4 and 31 have empty answers, 9 is said to be "meh", 20 would colour a terminal."""
    rows = sound_rows(60)
    for number, answer in ((4, "  "), (31, "")):
        rows[number - 1] = (rows[number - 1][0], answer, rows[number - 1][2])
    rows[8] = (*rows[8][:2], "meh")
    rows[19] = (rows[19][0], "\x1b[31mred\x1b[0m \u202eevil [bold]markup[/bold] 한국어 שלום 👍🏽", "up")
    return write_csv(path, rows)
