"""The recipe's fields that memory depends on, by the options of ``kto-tui fit``; imports nothing, for the parser."""

FLAGS = {
    "rank": "lora_rank",
    "targets": "lora_targets",
    "micro-batch": "micro_batch",
    "effective-batch": "effective_batch",
    "max-length": "max_length",
    "quantization": "quantization",
    "precision": "precision",
    "optimizer": "optimizer",
    "checkpointing": "gradient_checkpointing",
    "loss": "loss_type",
}
