"""The command ``signup-bridge``. No other part of the function imports this package, to keep cold starts short."""

from .main import main

__all__ = ["main"]
