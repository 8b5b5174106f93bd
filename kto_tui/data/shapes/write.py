"""From judged answers back to records of a shape, for other trainers; what a shape cannot say is refused."""

import json
from collections.abc import Callable
from typing import Any

from kto_tui.data.rows import Message, Row
from kto_tui.data.shapes.dialogue import split
from kto_tui.data.shapes.form import RowProblemError
from kto_tui.data.shapes.transcript import render
from kto_tui.data.shapes.turns import Turns, turns
from kto_tui.errors import UserError

Record = dict[str, Any]
IDS = ("name", "tool_call_id")
SHAREGPT = {"user": "human", "assistant": "gpt", "tool": "observation", "system": "system"}


def as_record(row: Row, target: str) -> Record:
    """One judged answer as a record of the shape ``target``, one of ``TARGETS``. Text becomes chat where need be.

    Raises:
        UserError: there is no such target, or the shape has no words for this row.
        ValueError: an undesirable row for ``mlx``, whose files are all good examples; whoever calls counts those.
    """
    _check(target, TARGETS)
    return _UNPAIRED[target](row)


def as_pair(chosen: Row, rejected: Row, target: str) -> Record:
    """Two answers to one prompt as a record of the paired shape ``target``, one of ``PAIRED_TARGETS``.

    Raises:
        UserError: as ``as_record``.
        ValueError: prompts or tools differ, or the labels are not those of a pair.
    """
    _check(target, PAIRED_TARGETS)
    if (chosen.prompt, chosen.tools) != (rejected.prompt, rejected.tools) or not chosen.label or rejected.label:
        raise ValueError("a pair is a desirable and an undesirable answer to one prompt")
    return _PAIRED[target](chosen, rejected)


def _check(target: str, known: tuple[str, ...]) -> None:
    if target not in known:
        raise UserError(f"There is no target {target!r}", mend=f"Choose one of {', '.join(known)}")


def _refused(why: str) -> UserError:
    return UserError(why, mend="Convert to trl, which can say it")


def _chat(row: Row) -> tuple[Turns, Turns]:
    prompt, answer = row.prompt, row.completion
    return (
        (Message("user", prompt),) if isinstance(prompt, str) else prompt,
        (Message("assistant", answer),) if isinstance(answer, str) else answer,
    )


def _whole(row: Row) -> tuple[Turns, Turns]:
    """Prompt and answer, if one conversation of both can be told apart again."""
    prompt, answer = _chat(row)
    try:
        told = split(prompt + answer, "messages")
    except RowProblemError:
        told = None
    if told != (prompt, answer):
        raise _refused("One conversation would not show where the judged answer of this row begins")
    return prompt, answer


def _message(turn: Message) -> Record:
    record: Record = {"role": turn.role, "content": turn.content}
    if turn.tool_calls:
        record["tool_calls"] = json.loads(turn.tool_calls)
    return record | {key: value for key, value in zip(IDS, (turn.name, turn.tool_call_id), strict=True) if value}


def _messages(said: str | Turns) -> str | list[Record]:
    return said if isinstance(said, str) else [_message(turn) for turn in said]


def _from_value(turn: Message) -> Record:
    record = _message(turn)
    del record["role"], record["content"]
    if turn.tool_calls and not turn.content:
        functions = [call["function"] for call in record["tool_calls"] if isinstance(call.get("function"), dict)]
        value = json.dumps(functions[0] if len(functions) == 1 else functions, ensure_ascii=False)
        called = {"from": "function_call", "value": value}
        if turns([called], "") == (turn,):
            return called
    return {"from": SHAREGPT[turn.role], "value": turn.content, **record}


def _tools_text(row: Row) -> Record:
    return {"tools": row.tools} if row.tools else {}


def _tools_list(row: Row) -> Record:
    return {"tools": json.loads(row.tools)} if row.tools else {}


def _trl(row: Row) -> Record:
    said = {"prompt": _messages(row.prompt), "completion": _messages(row.completion)}
    return {**said, "label": row.label, **_tools_text(row)}


def _trl_text(row: Row) -> Record:
    prompt, answer = _chat(row)
    roles = [turn.role for turn in prompt], [turn.role for turn in answer]
    if row.tools or roles != (["user"], ["assistant"]) or not all(map(_plain, prompt + answer)):
        raise _refused("A conversation with several turns, a system prompt or tools cannot be said as plain text")
    return {"prompt": prompt[0].content, "completion": answer[0].content, "label": row.label}


def _mlx(row: Row) -> Record:
    if not row.label:
        raise ValueError("an undesirable answer in a file of good examples")
    prompt, answer = _chat(row)
    return {"messages": _messages(prompt + answer), **_tools_list(row)}


def _openai(row: Row) -> Record:
    prompt, answer = _whole(row)
    return {"messages": _messages(prompt + answer), "label": row.label, **_tools_list(row)}


def _system(prompt: Turns) -> tuple[str, Turns]:
    """The system prompt that a column can hold, and the turns after it; an empty one only a turn can say."""
    if prompt and prompt[0] == Message("system", prompt[0].content) and prompt[0].content:
        return prompt[0].content, prompt[1:]
    return "", prompt


def _sharegpt_head(prompt: Turns, row: Row) -> tuple[Record, Turns]:
    system, rest = _system(prompt)
    return {**({"system": system} if system else {}), **_tools_text(row)}, rest


def _sharegpt(row: Row) -> Record:
    prompt, answer = _whole(row)
    head, rest = _sharegpt_head(prompt, row)
    return {"conversations": [_from_value(turn) for turn in rest + answer], "label": row.label, **head}


def _alpaca_prompt(row: Row) -> Record:
    system, said = _system(_chat(row)[0])
    roles = [turn.role for turn in said]
    if row.tools or roles != ["user", "assistant"] * (len(said) // 2) + ["user"] or not all(map(_plain, said)):
        raise _refused("Alpaca has only a system prompt and pairs of question and answer")
    history = [[asked.content, given.content] for asked, given in zip(said[:-1:2], said[1::2], strict=True)]
    return {"instruction": said[-1].content, "input": "", "system": system, "history": history}


def _plain(turn: Message) -> bool:
    return turn == Message(turn.role, turn.content)


def _only(answer: Turns) -> Message:
    if len(answer) != 1:
        raise _refused("The answer of this row has several turns")
    return answer[0]


def _answer_text(row: Row) -> str:
    turn = _only(_chat(row)[1])
    if not _plain(turn):
        raise _refused("The answer of this row calls tools")
    return turn.content


def _alpaca(row: Row) -> Record:
    return {**_alpaca_prompt(row), "output": _answer_text(row), "kto_tag": row.label}


def _script(row: Row) -> str:
    prompt, answer = _whole(row)
    if row.tools:
        raise _refused("A transcript has no tools")
    return render(prompt + answer)


def _transcript(row: Row) -> Record:
    return {"text": _script(row), "label": row.label}


def _trl_paired(chosen: Row, rejected: Row) -> Record:
    both = {"chosen": _messages(chosen.completion), "rejected": _messages(rejected.completion)}
    return {"prompt": _messages(chosen.prompt), **both, **_tools_text(chosen)}


def _sharegpt_paired(chosen: Row, rejected: Row) -> Record:
    head, rest = _sharegpt_head(_chat(chosen)[0], chosen)
    both = [_from_value(_only(_chat(row)[1])) for row in (chosen, rejected)]
    return {"conversations": [_from_value(turn) for turn in rest], "chosen": both[0], "rejected": both[1], **head}


def _alpaca_paired(chosen: Row, rejected: Row) -> Record:
    return {**_alpaca_prompt(chosen), "chosen": _answer_text(chosen), "rejected": _answer_text(rejected)}


def _transcript_paired(chosen: Row, rejected: Row) -> Record:
    return {"chosen": _script(chosen), "rejected": _script(rejected)}


def _openai_preference(chosen: Row, rejected: Row) -> Record:
    return {
        "input": {"messages": _messages(_chat(chosen)[0]), **_tools_list(chosen)},
        "preferred_output": _messages(_chat(chosen)[1]),
        "non_preferred_output": _messages(_chat(rejected)[1]),
    }


_UNPAIRED: dict[str, Callable[[Row], Record]] = {
    "trl": _trl, "trl-text": _trl_text, "mlx": _mlx, "sharegpt": _sharegpt, "openai": _openai, "alpaca": _alpaca,
    "transcript": _transcript,
}  # fmt: skip
_PAIRED: dict[str, Callable[[Row, Row], Record]] = {
    "trl-paired": _trl_paired, "sharegpt-paired": _sharegpt_paired, "alpaca-paired": _alpaca_paired,
    "transcript-paired": _transcript_paired, "openai-preference": _openai_preference,
}  # fmt: skip
TARGETS = tuple(_UNPAIRED)
PAIRED_TARGETS = tuple(_PAIRED)
