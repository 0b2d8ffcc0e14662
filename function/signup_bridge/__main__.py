"""Run the command ``signup-bridge``: ``python -m signup_bridge``."""

from __future__ import annotations

import sys

from .cli import main

sys.exit(main())
