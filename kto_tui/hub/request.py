"""What is asked of the hub: a repository of one of two types, at a revision, and of a data set which part."""

from typing import Literal

import msgspec

RepoType = Literal["model", "dataset"]
NOUNS: dict[RepoType, str] = {"model": "model", "dataset": "data set"}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One download. ``revision`` None: main; ``config`` None: the only or default one; ``split`` None: all.

    ``backend``: who is to train a model; what it would refuse by its config.json is not downloaded. None: anything is.
    ``max_length``: in tokens, of the rows it is to train on; None: not known yet.
    """

    id: str
    repo_type: RepoType = "model"
    revision: str | None = None
    config: str | None = None
    split: str | None = None
    backend: str | None = None
    max_length: int | None = None
