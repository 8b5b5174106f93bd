"""A seeded JSONL file of judged chats, about 1 KB a row and with a few defects, for benchmarks/data.py."""

import json
import random
import re
from pathlib import Path

from kto_tui.data.sources import starter_folder

SENTENCES = 20_000
REPEATED = 0.005
BROKEN = ("no label", "no answer", "half a line")
BROKEN_SHARE = 0.001
ADDED = ('She said: "wait"', "naïve café", "10 °C to 20 °C", "第一", "🙂", "line\nbreak", "`x = 1`")


def _sentences(rng: random.Random) -> list[str]:
    """Made of the starter set's words, as often as they occur there; as JSON text without the quotes around it."""
    text = (starter_folder() / "train.jsonl").read_text(encoding="utf-8")
    words = re.findall(r"[A-Za-z']+", " ".join(re.findall(r'"content": "(.*?)"}', text)))
    made = []
    for _ in range(SENTENCES):
        chosen = rng.choices(words, k=rng.randint(6, 20))
        if rng.random() < 0.2:
            chosen[rng.randrange(len(chosen))] = rng.choice(ADDED)
        made.append(json.dumps(" ".join(chosen).capitalize() + ".", ensure_ascii=False)[1:-1])
    return made


def write(path: Path, size: int, *, seed: int, broken: bool) -> dict[str, int]:
    """Write at least ``size`` bytes; returns how many lines there are in all and of each defect.

    Args:
        path: of the new file.
        size: bytes.
        seed: the same one gives the same file.
        broken: with rows that have no label or no answer, and lines that are no JSON.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    sentences = _sentences(rng)
    counts = {"lines": 0, "repeated": 0, **dict.fromkeys(BROKEN, 0)}
    written, line, defect = 0, "", "none yet"
    with path.open("w", encoding="utf-8", newline="\n") as file:
        while written < size:
            kind = rng.random()
            if not defect and kind < REPEATED:
                counts["repeated"] += 1
            else:
                asked, answered = " ".join(rng.choices(sentences, k=3)), " ".join(rng.choices(sentences, k=8))
                label = ', "label": true' if rng.random() < 0.55 else ', "label": false'
                defect = rng.choice(BROKEN) if broken and kind > 1 - BROKEN_SHARE else ""
                if defect:
                    counts[defect] += 1
                answered, label = "" if defect == "no answer" else answered, "" if defect == "no label" else label
                line = (
                    f'{{"prompt": [{{"role": "user", "content": "{asked}"}}], '
                    f'"completion": [{{"role": "assistant", "content": "{answered}"}}]{label}}}\n'
                )
                if defect == "half a line":
                    line = line[: len(line) // 2] + "\n"
            counts["lines"] += 1
            written += file.write(line)  # characters: nearly bytes
    return counts
