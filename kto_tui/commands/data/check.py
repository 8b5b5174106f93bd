"""``data check``: what is in a file, what is wrong with it, and what to do."""

from kto_tui.choices import DataChoices
from kto_tui.commands.data import tokens
from kto_tui.commands.data.progress import progress
from kto_tui.commands.data.report import print_report, record
from kto_tui.commands.data.verdict import judge
from kto_tui.commands.printing import print_json
from kto_tui.data.examine import Job, examine
from kto_tui.methods import Method
from kto_tui.planner import effective_batch


def check(
    typed: str,
    data: str,
    choices: DataChoices,
    heldout: str | None,
    model: str | None,
    *,
    method: Method,
    full: bool,
    strict: bool,
    as_json: bool,
) -> int:
    """Examine a source; 0 when training would take it, 1 when it would not, or ``strict`` and there are warnings.

    A polarity of labels that nobody has confirmed counts as an error, since no run starts with it; so does a row that
    the model's chat template refuses.
    """
    # Only very few rows are too few for a batch, and for those the planner proposes its smallest.
    smallest, _ = effective_batch(0)
    job = Job(path=data, choices=choices, heldout=heldout, effective_batch=smallest, method=method, full=full)
    with tokens.tokenizer_of(model) as tokenizer, progress() as tell:
        report = examine(job, tell)
        lengths, refused = tokens.measure(data, choices, tokenizer, tell, method=method, full=full)
    verdict = judge(report, choices, typed)
    if as_json:
        print_json(record(report, choices, verdict) | {"tokens": tokens.record(lengths, model, refused)})
    else:
        print_report(report, choices, verdict, tokens.sentence(lengths, model, refused))
    return int(not verdict.ready or refused is not None or (strict and verdict.warned))
