"""The tokenizer program, as it is: a real child process with a real tokenizer."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from kto_tui.data.prepare.tokens import tokenize_row
from kto_tui.data.rows import Message, Row
from kto_tui.data.tokens import client
from kto_tui.data.tokens.client import TokenizerProcess
from kto_tui.errors import UserError
from kto_tui.starter import MODEL_ID, starter_model_folder
from tests.tiny import CHAT_TEMPLATE, WORDS, make_tokenizer

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
REFUSES = "{% if messages[0].content == 'no' %}{{ raise_exception('No such thing') }}{% endif %}"
TOOLS = '[{"type": "function", "function": {"name": "dog", "parameters": {}}}]'


def text(prompt: str = "the cat", completion: str = " sat on", line: int = 1) -> Row:
    return Row(prompt, completion, True, line)


def chat(prompt: str = "why", answer: str = "it is", line: int = 1) -> Row:
    return Row((Message("user", prompt),), (Message("assistant", answer),), False, line)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = REFUSES + "{% if tools %}{{ tools | tojson }}{% endif %}" + CHAT_TEMPLATE
    return make_tokenizer(tmp_path_factory.mktemp("model"), chat_template=template)


@pytest.fixture(scope="module")
def process(folder: Path) -> Iterator[TokenizerProcess]:
    with TokenizerProcess(str(folder)) as running:
        yield running


def test_tokens_are_those_of_the_preparation(
    process: TokenizerProcess, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kto_tui.backends.training.tokenizer import load_tokenizer

    calls = '[{"type": "function", "function": {"name": "dog", "arguments": {"cat": 1}}}]'
    rows = [text(completion=" ".join(WORDS[:n])) for n in range(1, 9)] + [
        chat(answer=" ".join(WORDS[:n])) for n in (2, 20)
    ]
    rows.append(Row((Message("user", "why"), Message("assistant", "", calls)), (Message("assistant", "a"),), True, 3))
    rows.append(Row((Message("user", "why"),), (Message("assistant", "a"),), True, 3, tools=TOOLS))
    tokenizer = load_tokenizer(folder)
    expected = [(len(row.prompt_ids), len(row.completion_ids)) for row in (tokenize_row(r, tokenizer) for r in rows)]
    assert process.lengths(rows) == expected
    assert len(set(expected)) > 9
    monkeypatch.setattr(client, "BATCH_ROWS", 5)
    assert process.lengths(rows) == expected
    monkeypatch.setattr(client, "BATCH_CHARACTERS", 1)
    assert process.lengths(rows) == expected
    assert process.lengths([]) == []


def test_a_row_is_rendered_as_the_model_sees_it(process: TokenizerProcess) -> None:
    found = process.render(chat("why €", "it is"))
    assert "".join(piece.text for piece in found.pieces) == (
        "<|im_start|>user\nwhy €<|im_end|>\n<|im_start|>assistant\nit is<|im_end|>\n"
    )
    assert [piece.text for piece in found.pieces if piece.kind == "special"] == [
        "<|im_start|>", "<|im_end|>", "<|im_start|>", "<|im_end|>",
    ]  # fmt: skip
    assert "".join(piece.text for piece in found.pieces if piece.trained) == "it is<|im_end|>\n"
    assert process.lengths([chat("why €", "it is")]) == [(found.prompt_tokens, found.completion_tokens)]
    cut = process.render(chat("why €", "it is"), found.prompt_tokens + 1)
    assert cut.cut_tokens == found.completion_tokens - 1
    assert process.render(chat(), 3).dropped


def test_plain_text_ends_with_the_end_of_sequence(process: TokenizerProcess) -> None:
    last = process.render(text()).pieces[-1]
    assert (last.text, last.kind, last.trained) == ("<|im_end|>", "special", True)


def test_a_row_that_the_template_refuses_is_named_and_the_program_goes_on(process: TokenizerProcess) -> None:
    with pytest.raises(UserError, match=r"^line 7: The model's chat template refuses the row \(No such thing\)"):
        process.lengths([chat(), chat("no", line=7)])
    assert len(process.lengths([chat()])) == 1


def test_several_threads_may_ask(process: TokenizerProcess) -> None:
    expected = process.lengths([text(completion=" sat" * n) for n in range(1, 9)])
    found: dict[int, list[tuple[int, int]]] = {}

    def ask(n: int) -> None:
        found[n] = process.lengths([text(completion=" sat" * n)])

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[n][0] for n in range(1, 9)] == expected


# Models that are not here, or not whole


def nothing(_: Path) -> str:
    return "org/not-here"


def empty_folder(folder: Path) -> str:
    (folder / "empty").mkdir()
    return str(folder / "empty")


def damaged(folder: Path) -> str:
    whole = (make_tokenizer(folder) / "tokenizer.json").read_bytes()
    (folder / "tokenizer.json").write_bytes(whole[: len(whole) // 2])
    return str(folder)


def nested(folder: Path) -> str:
    (make_tokenizer(folder) / "tokenizer_config.json").write_text("[" * 100_000, encoding="utf-8")
    return str(folder)


def brings_code(folder: Path) -> str:
    (folder / "own.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\nclass Own: pass\n", encoding="utf-8")
    settings = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "config.json").write_text('{"model_type": "own"}', encoding="utf-8")
    return str(folder)


def half_downloaded(folder: Path) -> str:
    cache_snapshot(folder, whole=False)
    return "org/tiny"


def no_vocabulary(folder: Path) -> str:
    (folder / "config.json").write_text('{"model_type": "qwen2"}', encoding="utf-8")
    return str(folder)


def no_template(folder: Path) -> str:
    return str(make_tokenizer(folder, chat_template=None))


def cache_snapshot(folder: Path, *, whole: bool = True) -> Path:
    """``org/tiny`` as huggingface_hub's cache has it."""
    place = folder / "models--org--tiny"
    snapshot = place / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("c0ffee", encoding="ascii")
    (snapshot / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    return make_tokenizer(snapshot) if whole else snapshot


CASES = {
    nothing: "not on this machine yet",
    half_downloaded: "not on this machine yet",
    empty_folder: "tokenizer cannot be loaded",
    damaged: "tokenizer cannot be loaded",
    nested: "tokenizer cannot be loaded",
    brings_code: "tokenizer cannot be loaded",
    no_vocabulary: "no vocabulary",
    no_template: "no chat template",
}


@pytest.mark.parametrize(("make", "sentence"), CASES.items(), ids=[make.__name__ for make in CASES])
def test_what_is_missing_is_said(
    make: Callable[[Path], str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with TokenizerProcess(make(tmp_path)) as process, pytest.raises(UserError, match=sentence) as caught:
        process.lengths([chat()])
    assert "Traceback" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_without_transformers_it_says_how_to_install_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['transformers'] = None\n", encoding="ascii")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with TokenizerProcess(str(folder)) as process, pytest.raises(UserError, match=r"needs transformers.*pip install"):
        process.render(text())


@pytest.mark.parametrize("where", ["cache", "starter"])
def test_an_id_is_found_where_its_files_are(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    name = "org/tiny" if where == "cache" else MODEL_ID
    cache_snapshot(tmp_path) if where == "cache" else make_tokenizer(starter_model_folder())
    with TokenizerProcess(name) as process:
        assert process.lengths([text("the", " cat")]) == [(1, 2)]


# Ends


def test_a_killed_program_is_reported_each_time_and_leaves_the_caller_whole(folder: Path) -> None:
    with TokenizerProcess(str(folder)) as process:
        os.kill(process._process.pid, signal.SIGKILL)
        for _ in range(2):
            with pytest.raises(UserError, match=r"was killed by SIGKILL.*estimated from characters"):
                process.lengths([text()])


def test_a_closed_one_answers_no_more(folder: Path) -> None:
    process = TokenizerProcess(str(folder))
    process.close()
    process.close()
    with pytest.raises(UserError, match="The program that counts tokens"):
        process.render(text())


def test_closing_ends_a_question_that_would_take_for_ever(tmp_path: Path) -> None:
    process = TokenizerProcess(str(make_tokenizer(tmp_path, chat_template=ENDLESS)))
    assert process.lengths([text()])
    raised: list[UserError] = []

    def ask() -> None:
        try:
            process.lengths([chat()])
        except UserError as error:
            raised.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive()
    process.close()
    thread.join(10)
    assert not thread.is_alive()
    assert [error.where for error in raised] == [str(tmp_path)]
    assert process._process.returncode is not None


PARENT = """
import sys, time
from kto_tui.data.rows import Message, Row
from kto_tui.data.tokens.client import TokenizerProcess
process = TokenizerProcess(sys.argv[1])
process.lengths([Row("a", "b", True, 1)])
print(process._process.pid, flush=True)
if sys.argv[2] == "busy":
    process.lengths([Row((Message("user", "a"),), (Message("assistant", "b"),), True, 1)])
time.sleep(60)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_a_parent_that_is_killed_leaves_no_orphan(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tokenizer(tmp_path, chat_template=ENDLESS)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), state], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    assert os.getsid(child.pid) != os.getsid(0), "Ctrl-C in the terminal does not reach it"
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(20)
    assert not child.is_running()


def test_a_program_that_cannot_be_started_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(UserError, match="cannot be started"):
        TokenizerProcess(str(folder))


def test_the_program_answers_lines_and_ends_with_its_input(folder: Path) -> None:
    row = {"prompt": "the", "completion": " cat", "label": True, "line": 1}
    asked = b"\n".join([json.dumps({"op": "lengths", "rows": [row]}).encode(), b'{"op": "x"}', b"[", b""])
    done = subprocess.run(
        [sys.executable, "-m", client.PROGRAM, str(folder)], input=asked, capture_output=True, check=True, timeout=60
    )
    first, second, third = (json.loads(line) for line in done.stdout.splitlines())
    assert first == {"lengths": [[1, 2]]}
    assert "not understood" in second["error"]["what"]
    assert set(third["error"]) == {"what", "mend", "where"}
    assert done.stderr == b""
