"""The download program against a stand-in for the hub: real processes, real transfers, real interruptions."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from kto_tui.hub.cache import cached, folder_of
from kto_tui.hub.download import Download, must_fetch, tenths
from kto_tui.hub.selection import MARGIN_BYTES
from kto_tui.hub.updates import Done, Failed, Noted, Progressed, Update
from tests.hub.conftest import WEIGHTS
from tests.hub.standin import COMMIT, POOR_TOKEN, TOKEN, Hub, Repo

CHUNK = 256 * 1024
LOADS_OFFLINE = """
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = (kind.from_pretrained("acme/tiny") for kind in (AutoModelForCausalLM, AutoTokenizer))
print(model.num_parameters(), tokenizer("the cat")["input_ids"])
"""


def updates_of(model_id: str, revision: str | None = None) -> list[Update]:
    with Download(model_id, revision) as download:
        return list(download)


def outcome(model_id: str, revision: str | None = None) -> Done | Failed:
    last = updates_of(model_id, revision)[-1]
    assert isinstance(last, Done | Failed)
    return last


def program(prelude: str, *args: str) -> subprocess.CompletedProcess[str]:
    """The download program after some lines of Python that change its surroundings."""
    code = f"{prelude}\nfrom kto_tui.hub.fetch import main\nmain({list(args)!r})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def part_of(model_id: str) -> Path:
    return next((folder_of(model_id) / "blobs").glob("*.incomplete"))


def test_a_whole_download_tells_its_progress_and_loads_offline(
    hub: Hub, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = hub.add_folder("acme/tiny", tiny)
    repo.files |= {"README.md": b"x", "model.gguf": b"x", "consolidated.safetensors": b"x", "onnx/model.onnx": b"x"}
    hub.delay = 0.03
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    updates = updates_of("acme/tiny")
    done, progress = updates[-1], [one for one in updates if isinstance(one, Progressed)]
    assert isinstance(done, Done)
    assert done.revision == COMMIT
    assert done.bytes_fetched == progress[-1].bytes_total == sum(len(repo.files[path.name]) for path in tiny.iterdir())
    assert progress == sorted(progress, key=lambda one: (one.bytes_done, one.files_done))
    assert progress[0].bytes_done < progress[-1].bytes_done
    assert (progress[-1].share, progress[-1].files_done) == (1.0, progress[-1].files_total)
    assert progress[-1].bytes_per_second
    assert {path.name for path in Path(done.path).iterdir()} == {path.name for path in tiny.iterdir()}
    assert not hub.leaked, "the token went to the host that only stores files"
    offline = subprocess.run(
        [sys.executable, "-c", LOADS_OFFLINE],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(offline.stdout.split()[0]) > 50_000

    assert not must_fetch("acme/tiny")
    hub.served.clear()
    assert outcome("acme/tiny") == msgspec.structs.replace(done, bytes_fetched=0)
    assert not hub.served


def test_a_cut_connection_is_taken_up_where_it_broke(hub: Hub, big: Repo) -> None:
    hub.cut_after[WEIGHTS] = 1_500_000
    assert isinstance(outcome("acme/big"), Done)
    assert hub.resumed_at == [1_500_000 // CHUNK * CHUNK], "whole chunks count"
    assert hub.served[WEIGHTS] < len(big.files[WEIGHTS]) + CHUNK


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_an_ended_download_leaves_a_part_that_the_next_one_goes_on_from(
    hub: Hub, big: Repo, number: signal.Signals
) -> None:
    hub.delay = 0.05
    with Download("acme/big") as download:
        seen = iter(download)
        next(one for one in seen if isinstance(one, Progressed) and one.share > 0.3)
        began = time.monotonic()
        download._process.send_signal(number)
        last = list(seen)[-1]
        assert time.monotonic() - began < 2
    assert isinstance(last, Failed)
    assert last.kind == ("other" if number == signal.SIGKILL else "interrupted")
    arrived = part_of("acme/big").stat().st_size
    assert arrived > 1_000_000
    assert part_of("acme/big").read_bytes() == big.files[WEIGHTS][:arrived]
    found = cached("acme/big")
    assert found is not None
    assert not found.complete
    assert found.unfinished_bytes == arrived
    assert must_fetch("acme/big")

    hub.delay = 0
    updates = updates_of("acme/big")
    assert isinstance(updates[-1], Done)
    assert updates[-1].bytes_fetched == len(big.files[WEIGHTS]) - arrived
    assert isinstance(updates[0], Progressed)
    assert updates[0].bytes_done > arrived, "what is here counts from the start"
    assert hub.resumed_at == [arrived]
    assert (Path(updates[-1].path) / WEIGHTS).read_bytes() == big.files[WEIGHTS]


def test_it_ends_when_nobody_listens_any_more(hub: Hub, big: Repo) -> None:
    hub.delay = 0.2
    download = Download("acme/big")
    assert download._process.stdout is not None
    assert download._process.stdout.readline()
    download._process.stdout.close()
    assert download._process.wait(timeout=5) == 1


def test_cancel_from_another_thread_ends_the_iteration(hub: Hub, big: Repo) -> None:
    hub.delay = 0.2
    with Download("acme/big") as download:
        threading.Timer(0.3, download.cancel).start()
        last = list(download)[-1]
    assert isinstance(last, Failed)
    assert last.kind == "interrupted"


def test_a_damaged_part_is_noticed_and_thrown_away(hub: Hub, big: Repo) -> None:
    hub.delay = 0.05
    with Download("acme/big") as download:
        next(one for one in download if isinstance(one, Progressed) and one.share > 0.2)
    hub.delay = 0
    part = part_of("acme/big")
    part.write_bytes(bytes(part.stat().st_size))
    failed = outcome("acme/big")
    assert isinstance(failed, Failed)
    assert f"{WEIGHTS} did not arrive intact" in failed.message
    assert not part.exists()
    assert not cached("acme/big").complete  # type: ignore[union-attr] # there are small files
    assert isinstance(outcome("acme/big"), Done)


def test_two_downloads_of_one_model_fetch_it_once(hub: Hub, big: Repo) -> None:
    hub.delay = 0.02
    with Download("acme/big") as first:
        seen = iter(first)
        assert isinstance(next(seen), Progressed)
        second = updates_of("acme/big")
        assert isinstance(list(seen)[-1], Done)
    assert isinstance(second[0], Noted)
    assert "waiting" in second[0].text
    assert isinstance(second[-1], Done)
    assert hub.served[WEIGHTS] == len(big.files[WEIGHTS])


@pytest.mark.parametrize("spare", [-MARGIN_BYTES - 4_000_002, -1, 0])
def test_the_disk_is_checked_before_the_first_byte(hub: Hub, big: Repo, spare: int) -> None:
    free = 4_000_002 + MARGIN_BYTES + spare
    usage = f"import shutil; shutil.disk_usage = lambda path: type('Usage', (), {{'free': {free}}})"
    last = msgspec.json.decode(program(usage, "acme/big").stdout.splitlines()[-1], type=Update)
    if spare >= 0:
        assert isinstance(last, Done)
        return
    assert isinstance(last, Failed)
    assert last.kind == "disk"
    for words in ("4 MiB", "0 KiB" if not free else "516 MiB", os.environ["HF_HOME"]):
        assert words in last.message
    assert "HF_HOME" in last.mend
    assert not hub.served
    assert not folder_of("acme/big").exists()


def closed(hub: Hub, env: pytest.MonkeyPatch) -> None:
    env.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


def offline(hub: Hub, env: pytest.MonkeyPatch) -> None:
    env.setenv("HF_HUB_OFFLINE", "1")


def token(text: str) -> Callable[[Hub, pytest.MonkeyPatch], None]:
    return lambda hub, env: env.setenv("HF_TOKEN", text)


def broken(status: int) -> Callable[[Hub, pytest.MonkeyPatch], None]:
    return lambda hub, env: setattr(hub, "broken", status)


def a_file_in_the_way(hub: Hub, env: pytest.MonkeyPatch) -> None:
    Path(os.environ["HF_HOME"]).write_text("")


def strange_etags(hub: Hub, env: pytest.MonkeyPatch) -> None:
    hub.etag_prefix = "../"


def nothing(hub: Hub, env: pytest.MonkeyPatch) -> None:
    pass


REFUSALS: dict[str, tuple[str, Callable[[Hub, pytest.MonkeyPatch], None], str, str, str]] = {
    "gated, nobody": ("acme/gated", nothing, "gated", "nobody is logged in", "/acme/gated, then log in"),
    "gated, stranger": ("acme/gated", token(POOR_TOKEN), "gated", "no access", "/acme/gated, with the account"),
    "gated, bad token": ("acme/gated", token("hf_expired"), "token", "does not accept your token", "hf auth login"),
    "bad token": ("acme/big", token("hf_expired"), "token", "does not accept your token", "/settings/tokens"),
    "missing, nobody": ("acme/none", nothing, "missing", "without a login it does not tell which", "log in"),
    "missing, known": ("acme/none", token(TOKEN), "missing", "your account may not see it", "spelling"),
    "private, nobody": ("acme/private", nothing, "missing", "without a login it does not tell which", "log in"),
    "private, stranger": ("acme/private", token(POOR_TOKEN), "missing", "your account may not see it", "account"),
    "renamed": ("acme/old", nothing, "renamed", "is called acme/big now", "Choose acme/big"),
    "disabled": ("acme/disabled", nothing, "other", "disabled", "another model"),
    "no weights": ("acme/words", nothing, "other", "safetensors", "checkpoint"),
    "no id": ("not an id", nothing, "missing", "neither a folder nor a hub id", "org/model"),
    "unreachable": ("acme/big", closed, "offline", "http://127.0.0.1:9 cannot be reached", "HF_ENDPOINT"),
    "offline": ("acme/big", offline, "offline", "HF_HUB_OFFLINE", "models --cached"),
    "server error": ("acme/big", broken(503), "other", "error 503", "few minutes"),
    "too many": ("acme/big", broken(429), "other", "too many requests", "few minutes"),
    "forbidden": ("acme/big", broken(403), "token", "may not read", "type read"),
    "no hub": ("acme/big", strange_etags, "other", "does not answer like a hub", "HF_ENDPOINT"),
    "unwritable": ("acme/big", a_file_in_the_way, "other", "cannot be written", "HF_HOME"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_each_refusal_has_its_kind_and_its_sentence(
    name: str, hub: Hub, big: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repos |= {
        "acme/gated": Repo(big.files, gated=True),
        "acme/private": Repo(big.files, private=True),
        "acme/old": Repo({}, renamed_to="acme/big"),
        "acme/disabled": Repo({}, disabled=True),
        "acme/words": Repo({"config.json": b"{}", "tokenizer.json": b"{}", "model.gguf": b""}),
    }
    model_id, arrange, kind, message, mend = REFUSALS[name]
    arrange(hub, monkeypatch)
    failed = outcome(model_id)
    assert isinstance(failed, Failed), failed
    assert failed.kind == kind
    assert message in failed.message
    assert mend in failed.mend
    assert not hub.served
    assert "huggingface.co" not in failed.message + failed.mend, "a mirror is called by its own name"


def test_an_unknown_revision_is_missing(hub: Hub, big: Repo) -> None:
    failed = outcome("acme/big", "v9")
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.message) == ("missing", "The model has no revision v9")


def test_a_gated_model_comes_with_a_token_that_was_accepted(
    hub: Hub, big: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    big.gated = True
    file = Path(os.environ["HF_HOME"]) / "token"
    file.parent.mkdir()
    file.write_text(f"{TOKEN}\n")
    assert isinstance(outcome("acme/big"), Done)
    assert not hub.leaked


def test_without_the_library_it_says_what_to_install(hub: Hub) -> None:
    done = program("import sys; sys.modules['huggingface_hub'] = None", "acme/big")
    failed = msgspec.json.decode(done.stdout, type=Update)
    assert isinstance(failed, Failed)
    assert failed.kind == "library"
    assert "pip install" in failed.mend
    assert done.returncode == 1


def test_an_unreachable_hub_is_no_matter_when_all_is_here(hub: Hub, big: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    first = outcome("acme/big")
    closed(hub, monkeypatch)
    noted, last = updates_of("acme/big")
    assert isinstance(noted, Noted)
    assert "taking the copy that is here" in noted.text
    assert isinstance(last, Done)
    assert isinstance(first, Done)
    assert last.path == first.path


@pytest.mark.parametrize("secret", [TOKEN, POOR_TOKEN, "hf_expired"])
def test_nothing_it_prints_holds_a_token_or_a_signed_address(
    hub: Hub, big: Repo, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    big.gated = True
    hub.cut_after[WEIGHTS] = 100_000
    for name, value in (("HF_TOKEN", secret), ("HF_DEBUG", "1"), ("HF_HUB_VERBOSITY", "debug")):
        monkeypatch.setenv(name, value)
    done = program("", "acme/big")
    assert done.stdout
    for words in (secret, "signed=", "Bearer"):
        assert words not in done.stdout + done.stderr


def test_progress_is_thinned_to_tenths() -> None:
    def at(done: int) -> Progressed:
        return Progressed(bytes_done=done, bytes_total=100, files_done=0, files_total=1)

    done = Done(path="/x", revision="main")
    told = list(tenths([at(0), at(3), at(9), at(10), Noted(text="slow"), at(55), at(59), at(100), done]))
    assert told == [at(0), at(10), Noted(text="slow"), at(55), at(100), done]
