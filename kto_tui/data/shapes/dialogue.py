"""Where a conversation ends and its judged answer begins, and whether its turns are in order."""

from kto_tui.data.rows import Message
from kto_tui.data.shapes.form import RowProblemError
from kto_tui.data.shapes.turns import Turns


def split(said: Turns, column: str) -> tuple[Turns, Turns]:
    """A whole conversation as what comes before its last answer, and that answer.

    Raises:
        RowProblemError: it does not end with an assistant's turn, or no user's turn comes before that.
    """
    if not said or said[-1].role != "assistant":
        ending = f"ends with a turn by the {said[-1].role}" if said else "holds no turn"
        raise RowProblemError("roles", f"{column!r} {ending}, not with the assistant's answer")
    start = len(said) - 1
    while start and said[start - 1].role == "assistant":
        start -= 1
    if not start:
        raise RowProblemError("roles", f"{column!r} holds no turn before the assistant's answer")
    return said[:start], said[start:]


def answered(asked: Turns | None, given: Turns, column: str) -> tuple[Turns, Turns]:
    """A prompt and the answer that ``given`` holds, be it the answer alone or the conversation it ends.

    Args:
        asked: the prompt that stands beside it; None where the prompt is only in the conversation.
        given: of ``column``.
        column: named where something is wrong.

    Raises:
        RowProblemError: the answer is not the assistant's, or the conversation does not begin with the prompt.
    """
    if not given:
        return asked or (), ()
    if asked is None or given[0].role != "assistant":
        own, answer = split(given, column)
        return (own if asked is None else _joined(asked, own, column)), answer
    wrong = next((turn.role for turn in given if turn.role not in {"assistant", "tool"}), None)
    if wrong is None and given[-1].role == "tool":
        wrong = "tool"
    if wrong is not None:
        raise RowProblemError("roles", f"{column!r} holds a turn by the {wrong} inside or after the answer")
    return asked, given


def _joined(asked: Turns, own: Turns, column: str) -> Turns:
    """The prompt of a conversation that stands beside its own prompt; the two may differ in the system prompt alone."""
    heads, bodies = zip(*(_headless(turns) for turns in (asked, own)), strict=True)
    alike = [[(turn.role, turn.content.strip()) for turn in body] for body in bodies]
    if (bodies[0] and alike[0] != alike[1]) or (all(heads) and heads[0] != heads[1]):
        raise RowProblemError("roles", f"{column!r} is a conversation that does not begin with the prompt beside it")
    return (*(heads[1] or heads[0]), *bodies[1])


def _headless(turns: Turns) -> tuple[Turns, Turns]:
    cut = next((index for index, turn in enumerate(turns) if turn.role != "system"), len(turns))
    return turns[:cut], turns[cut:]


def headed(prompt: Turns, system: str, history: Turns, column: str) -> Turns:
    """``prompt`` with the system prompt and the earlier turns of other columns in front of it.

    Raises:
        RowProblemError: the prompt has another system prompt than ``system``, which ``column`` holds.
    """
    if not (system or history):
        return prompt
    own, body = _headless(prompt)
    before, earlier = _headless(history)
    heads = [head for head in (own, before, (Message("system", system),) if system else ()) if head]
    if any(head != heads[0] for head in heads):
        raise RowProblemError("roles", f"{column!r} and the conversation hold different system prompts")
    return (*(heads[0] if heads else ()), *earlier, *body)


def check_order(prompt: Turns, answer: Turns, column: str) -> None:
    """Raise where roles follow each other as no conversation does.

    Raises:
        RowProblemError: a system prompt after the first turn, a tool's result that no assistant asked for, or no user.
    """
    last = "system"
    asked = not prompt
    for turn in (*prompt, *answer):
        role = turn.role
        if role == "system" and last != "system":
            raise RowProblemError("roles", f"{column!r} has a system prompt after other turns")
        if role == "tool" and last not in {"assistant", "tool"}:
            raise RowProblemError("roles", f"{column!r} has a tool's result that follows a turn by the {last}")
        asked = asked or role == "user"
        last = role
    if not asked:
        raise RowProblemError("roles", f"{column!r} has no turn by the user")
