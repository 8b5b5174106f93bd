"""Which files of a repository training needs, and whether there is room for them."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

# A full disk stops everything else on the machine too.
MARGIN_BYTES = 512 * 1024**2
SMALL = (
    "config.json", "generation_config.json", "chat_template.j*", "tokenizer*", "special_tokens_map.json",
    "added_tokens.json", "vocab.*", "merges.txt", "*.tiktoken", "spiece.model", "*.index.json",
    "LICEN[CS]E*", "NOTICE*", "USE_POLICY*",
)  # fmt: skip
# The order in which Transformers looks for weights. Publishers name shards in two ways.
WEIGHTS = (
    re.compile(r"model\.safetensors"),
    re.compile(r"model(\.safetensors)?-\d+-of-\d+\.safetensors"),
    re.compile(r"pytorch_model\.bin"),
    re.compile(r"pytorch_model-\d+-of-\d+\.bin"),
)


def training_files(names: Iterable[str]) -> list[str]:
    """The files to fetch, small ones first: one set of weights (safetensors before pickles) and what goes with it.

    Empty when there is no configuration, no tokenizer or no weights.
    """
    present = sorted(name for name in names if "/" not in name)
    weights = weights_among(present)
    if not weights or not describes_model(present):
        return []
    small = [n for n in present if any(fnmatchcase(n, pattern) for pattern in SMALL)]
    return [n for n in small if not n.endswith(".index.json") or n == index_of(weights)] + weights


def weights_among(names: Iterable[str]) -> list[str]:
    """The one set of weight files that Transformers would load."""
    present = sorted(names)
    return next((found for kind in WEIGHTS if (found := [name for name in present if kind.fullmatch(name)])), [])


def index_of(weights: list[str]) -> str | None:
    """The index that names the shards of ``weights``; None for a single file."""
    if "-of-" not in weights[0]:
        return None
    return "pytorch_model.bin.index.json" if weights[0].endswith(".bin") else "model.safetensors.index.json"


def describes_model(names: Iterable[str]) -> bool:
    """Whether a configuration and a tokenizer are among ``names``."""
    present = list(names)
    return "config.json" in present and any(name.startswith(("tokenizer", "vocab.", "spiece.")) for name in present)


def lacks_room(missing: int, free: int) -> bool:
    """Whether ``missing`` bytes and a margin are more than what is free."""
    return missing > 0 and missing + MARGIN_BYTES > free
