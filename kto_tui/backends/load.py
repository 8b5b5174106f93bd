"""Finds a backend by name, and imports it only then."""

from kto_tui.backends.base import Backend
from kto_tui.errors import UserError


def load_backend(name: str) -> Backend:
    """The backend called ``name``; its libraries take seconds to import."""
    if name == "hf":
        from kto_tui.backends.hf.train import train

        return train
    if name == "mlx":
        from kto_tui.backends.mlx.blas import use_openblas

        use_openblas()
        from kto_tui.backends.mlx.train import train as train_mlx

        return train_mlx
    raise UserError(f"Unknown backend {name!r}", mend="Use hf or mlx", where="run.toml")
