"""The event function: SCF calls ``main_handler`` for each event. The settings are read when the instance starts."""

from __future__ import annotations

import logging.config
import os
from typing import Any

from bridge import events, logs, settings
from bridge.app import create_app

_settings = settings.load(os.environ, role_credentials="TENCENTCLOUD_SECRETID" in os.environ)
logging.config.dictConfig(logs.configuration(_settings.log_level))
_app = create_app(_settings)


def main_handler(event: object, context: object) -> dict[str, Any]:
    """Answer one event: a Function URL's, one in API Gateway's shape, or a direct invocation. Never raises.

    ``context`` is the platform's dict about this invocation, with ``request_id`` and ``time_limit_in_ms``.
    """
    return events.handle(event, context, _app)
