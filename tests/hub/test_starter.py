"""The starter model where there is no PyTorch to convert it with: what is stored, else the hub's own files."""

from pathlib import Path

import msgspec
import pytest

from kto_tui.backends.base import Job
from kto_tui.backends.training import model_files
from kto_tui.backends.training.model_files import locate
from kto_tui.errors import UserError
from kto_tui.recipe import Recipe
from kto_tui.runs.config import RunConfig
from kto_tui.runs.folder import RunFolder
from kto_tui.starter import MODEL_ID, sha256, starter_model_folder
from tests.hub.standin import Hub


@pytest.fixture(autouse=True)
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "installed", lambda _: None)


def job(folder: Path) -> Job:
    config = RunConfig(model=MODEL_ID, data="d", recipe=Recipe())
    return Job(RunFolder(folder), config, lambda _: None, lambda: None)


def store() -> Path:
    folder = starter_model_folder()
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    files = {"config.json": sha256(folder / "config.json")}
    record = {"from": "a test", "model": MODEL_ID, "stored": 0, "files": files}
    (folder / "source.json").write_bytes(msgspec.json.encode(record))
    return folder


def test_a_stored_one_is_found(tmp_path: Path) -> None:
    stored = store()
    assert locate(job(tmp_path)) == stored


def test_the_hub_has_it(hub: Hub, tiny: Path, tmp_path: Path) -> None:
    hub.add_folder(MODEL_ID, tiny)
    found = locate(job(tmp_path))
    assert (found / "config.json").read_bytes() == (tiny / "config.json").read_bytes()
    del hub.repos[MODEL_ID]
    assert locate(job(tmp_path)) == found, "it is here now"


def test_a_damaged_one_is_not_taken(hub: Hub, tiny: Path, tmp_path: Path) -> None:
    (store() / "config.json").write_text("[]")
    hub.add_folder(MODEL_ID, tiny)
    assert locate(job(tmp_path)) != starter_model_folder()


def test_neither_here_nor_on_the_hub_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=MODEL_ID):
        locate(job(tmp_path))
