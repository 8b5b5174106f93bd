"""Loads a model's tokenizer from files that are here, and says plainly why it could not."""

from pathlib import Path

from transformers import PreTrainedTokenizerBase

from kto_tui.errors import UserError


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in ``folder``, with a padding token.

    Raises:
        UserError: there is none, it is damaged, or it would run code of its own.
    """
    from transformers import AutoTokenizer  # takes torch along wherever that is installed

    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # files can be damaged in any way, and the library checks few of them
        raise _unusable(first_line(error), folder) from error
    # Where the files are missing, some kinds load with special tokens alone and turn every text into nothing.
    if tokenizer.vocab_size <= len(tokenizer.added_tokens_decoder):
        raise _unusable("it has no vocabulary", folder)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _unusable(reason: str, folder: Path) -> UserError:
    mend = "Get the model's tokenizer files"
    return UserError(f"The model's tokenizer cannot be loaded ({reason})", mend=mend, where=str(folder))


def require_chat_template(tokenizer: PreTrainedTokenizerBase, model: str) -> None:
    """Raise a UserError when chat messages cannot be rendered for ``model``."""
    if tokenizer.chat_template is None:
        raise UserError(
            "The data are chat messages, but the model's tokenizer has no chat template",
            mend="Use an instruct or chat model, or plain text rows",
            where=model,
        )


def first_line(error: BaseException) -> str:
    """What an error of a library says, no longer than a line."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
