"""A burst at the account's quota, from senders that come again when they are told to."""

from __future__ import annotations

from typing import NamedTuple

from bench.setting import Setting
from bench.targets import Result


class Burst(NamedTuple):
    verified: tuple[float, ...]
    results: tuple[Result, ...]


def measure(setting: Setting) -> Burst:
    raise NotImplementedError
