"""From checked rows to token ids in effective batches, the same for every backend; knows no training library."""

from kto_tui.data.prepare.build import Prepared, Settings, prepare
from kto_tui.data.prepare.tokens import Tokenizer, TokenRow, tokenize_rows
from kto_tui.data.prepare.views import Rows, Windows, longest
from kto_tui.data.prepare.windows import PreparedRow, Window, deal, packs

__all__ = [
    "Prepared",
    "PreparedRow",
    "Rows",
    "Settings",
    "TokenRow",
    "Tokenizer",
    "Window",
    "Windows",
    "deal",
    "longest",
    "packs",
    "prepare",
    "tokenize_rows",
]
