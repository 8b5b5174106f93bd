"""The tokenizer program: ``python -m kto_tui.backends.training.tokens_program MODEL``.

It speaks as ``kto_tui.data.tokens.protocol`` says. MODEL is a folder or a hub id; nothing is downloaded and no code of
a model is run. The program ends soon after its standard input, so that none is left behind whatever became of the
process that started it.
"""

import argparse
import contextlib
import os
import queue
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kto_tui.data.prepare.tokens import TokenRow, tokenize_row
from kto_tui.data.rows import Row
from kto_tui.data.tokens.protocol import Answer, CountTokens, Problem, Request
from kto_tui.data.tokens.rendered import render
from kto_tui.environment import INSTALL_HERE, installed
from kto_tui.errors import UserError
from kto_tui.hub.cache import cached
from kto_tui.hub.selection import describes_model
from kto_tui.starter import MODEL_ID, starter_model_folder

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NICENESS = 5
GRACE_SECONDS = 3
QUIET = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1"}
_decoder: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


def local_folder(model: str) -> Path:
    """Where the files of ``model`` are.

    Raises:
        UserError: not on this machine.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if model == MODEL_ID and starter_model_folder().is_dir():
        return starter_model_folder()
    here = cached(model)
    if here is not None and here.main is not None:
        folder = Path(here.main.path)
        if describes_model(path.name for path in folder.iterdir()):
            return folder
    raise UserError(
        "The model is not on this machine yet, so its tokens cannot be counted",
        mend="Download it first; until then lengths are estimated from characters",
        where=model,
    )


class Tokens:
    """Answers for one model.

    Args:
        model: folder or hub id.

    Raises:
        UserError: its tokenizer is not here, or cannot be loaded.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        folder = local_folder(model)
        if installed("transformers") is None:
            raise UserError("Counting tokens needs transformers", mend=f"Install with: {INSTALL_HERE}")
        # A tokenizer does without PyTorch, whose import would take four times as long and three times the memory.
        sys.modules["torch"] = None  # type: ignore[assignment]
        from kto_tui.backends.training.tokenizer import load_tokenizer

        self._tokenizer: PreTrainedTokenizerBase = load_tokenizer(folder)
        added = self._tokenizer.added_tokens_decoder
        self._special = {*self._tokenizer.all_special_ids, *(i for i, token in added.items() if token.special)}

    def answer(self, request: Request) -> Answer:
        """What ``request`` asks for."""
        if isinstance(request, CountTokens):
            rows = map(self._tokens, request.rows)
            return Answer(lengths=tuple((len(row.prompt_ids), len(row.completion_ids)) for row in rows))
        row = self._tokens(request.row)
        return Answer(rendered=render(row, decode=self._decode, special=self._special, max_length=request.max_length))

    def _tokens(self, row: Row) -> TokenRow:
        from kto_tui.backends.training.tokenizer import require_chat_template

        if not isinstance(row.prompt, str):
            require_chat_template(self._tokenizer, self._model)
        return tokenize_row(row, self._tokenizer)

    def _decode(self, ids: object) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _read(lines: "queue.SimpleQueue[bytes | None]") -> None:
    for line in sys.stdin.buffer:
        lines.put(line)
    lines.put(None)
    time.sleep(GRACE_SECONDS)  # whoever asked is gone, and a chat template may take for ever
    os._exit(1)


def _answer(line: bytes, tokens: Tokens | UserError) -> Answer:
    try:
        if isinstance(tokens, UserError):
            raise tokens
        return tokens.answer(_decoder.decode(line))
    except UserError as error:
        return Answer(error=Problem(error.what, error.mend, error.where))
    except msgspec.MsgspecError as error:
        return Answer(error=Problem(f"The question is not understood ({error})", "Ask as the protocol says"))


def main(model: str) -> None:
    """Answer one line for each that is read, in order."""
    os.environ.update(QUIET)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    # Standard output is ours alone: whatever else prints goes where it cannot damage a line.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        tokens: Tokens | UserError = Tokens(model)
    except UserError as error:
        tokens = error
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        while (line := lines.get()) is not None:
            out.write(msgspec.json.encode(_answer(line, tokens)) + b"\n")
            out.flush()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m kto_tui.backends.training.tokens_program")
    parser.add_argument("model", metavar="MODEL")
    main(parser.parse_args().model)
