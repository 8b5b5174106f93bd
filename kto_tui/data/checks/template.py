"""Tokens of chat templates inside texts, where the model's own template puts them once more or they are learnt."""

import re

# A header goes as a whole: "user" without its token would be left standing in the text.
_TOKENS = re.compile(
    r"<\|im_start\|>(?:(?:system|user|assistant|tool)\n)?"
    r"|<\|start_header_id\|>\w*<\|end_header_id\|>\s*"
    r"|<start_of_turn>(?:(?:user|model)\n)?|<end_of_turn>"
    r"|<[|\uff5c][A-Za-z_][\w\u2581-]{0,40}[|\uff5c]>"
    r"|\[/?INST\]|<</?SYS>>|<s>(?=\s*\[INST\])|</s>\s*<s>"
    r"|\[/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_RESULTS|TOOL_CALLS)\]"
    r"|<(?:bos|eos|BOS_TOKEN|EOS_TOKEN|extra_id_\d+)>|\[gMASK\]"
)
_BEGIN, _END = "<s>", "</s>"


def token_in(text: str) -> str | None:
    """The first of them in ``text``."""
    if "<" not in text and "[" not in text:
        return None
    if found := _TOKENS.search(text):
        return found[0].split("\n")[0].strip()
    return next((token for token in _sentence(text) if token), None)


def without_tokens(text: str) -> str:
    """``text`` without them."""
    if "<" not in text and "[" not in text:
        return text
    before = None
    while text != before:  # what is left around a token may be one
        before = text
        text = _TOKENS.sub("", text)
        begin, end = _sentence(text)
        if begin:
            text = text.replace(_BEGIN, "", 1)
        if end:
            text = "".join(text.rsplit(_END, 1))
    return text


def _sentence(text: str) -> tuple[str, str]:
    """Llama's tokens round the whole text; inside it they are HTML for text struck out."""
    stripped = text.strip()
    begin = _BEGIN if stripped.startswith(_BEGIN) else ""
    end = _END if stripped.endswith(_END) else ""
    inner = stripped.removeprefix(begin).removesuffix(end) if begin or end else ""
    return ("", "") if _BEGIN in inner or _END in inner else (begin, end)
