"""What the tests of the backends share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.tiny import make_model


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    made: dict[str, Path] = {}

    def build(kind: str = "llama") -> Path:
        if kind not in made:
            made[kind] = make_model(tmp_path_factory.mktemp("models") / kind, kind=kind)
        return made[kind]

    return build
