"""Tiny random models with a real tokenizer trained on the spot: real files, real training, in seconds."""

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = "the cat dog sat ran on under mat tree yes no why how red blue it is was not very good bad day night".split()


def make_rows(count: int, *, seed: int = 0, chat: bool = True) -> list[dict[str, object]]:
    """``count`` rows with both labels and different prompts."""
    rng = random.Random(seed)
    rows: list[dict[str, object]] = []
    for index in range(count):
        prompt = f"{' '.join(rng.choices(WORDS, k=5))} {index}"
        completion = " ".join(rng.choices(WORDS, k=rng.randint(3, 12)))
        rows.append(
            {
                "prompt": [{"role": "user", "content": prompt}] if chat else prompt,
                "completion": [{"role": "assistant", "content": completion}] if chat else f" {completion}",
                "label": index % 2 == 0,
            }
        )
    return rows


def write_jsonl(path: Path, rows: list[dict[str, object]]) -> Path:
    """One JSON object per line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# What each architecture of the catalog has that the others have not, made to matter on short rows.
SPECIALS = {
    "llama": {"tie_word_embeddings": True},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 32},
    "mistral": {"sliding_window": 12},
    "gemma2": {
        "sliding_window": 12,
        "head_dim": 32,
        "query_pre_attn_scalar": 32,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 3.0,
    },
    "smollm3": {"no_rope_layers": [1, 0]},
    "phi3": {"tie_word_embeddings": False},
    "olmo2": {},
    "granite": {"attention_multiplier": 0.25},
}


def make_tokenizer(folder: Path, *, chat_template: str | None = CHAT_TEMPLATE) -> Path:
    """The tokenizer of ``make_model`` alone, written without Transformers."""
    folder.mkdir(parents=True, exist_ok=True)
    _bpe().save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<|pad|>", "eos_token": "<|im_end|>"}
    template = {} if chat_template is None else {"chat_template": chat_template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | template), encoding="utf-8")
    return folder


def _bpe() -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator([" ".join(WORDS), "user assistant system"], trainer)
    return tokenizer


def make_model(folder: Path, *, chat_template: bool = True, kind: str = "llama", **shape: int) -> Path:
    """A random two-layer checkpoint of architecture ``kind`` with a small BPE tokenizer in ``folder``."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(tokenizer_object=_bpe(), pad_token="<|pad|>", eos_token="<|im_end|>")
    if chat_template:
        fast.chat_template = CHAT_TEMPLATE
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(fast),
        **{"hidden_size": 64, "intermediate_size": 128, **shape},
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
        bos_token_id=None,
        **SPECIALS[kind],
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


if __name__ == "__main__":
    import sys

    make_model(Path(sys.argv[1]))
