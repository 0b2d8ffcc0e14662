"""The command ``signup-bridge``. No other part of the function imports this package, so a cold start does not pay."""

from .main import main

__all__ = ["main"]
