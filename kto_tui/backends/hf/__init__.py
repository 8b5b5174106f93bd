"""TRL, Transformers and PEFT on CUDA, MPS and CPU."""
