"""The event function: SCF calls ``main_handler`` for each event. The settings are read when the instance starts."""

from __future__ import annotations

import os
from typing import Any

from bridge import events, settings
from bridge.app import configure_logs, create_app

_settings = settings.load(os.environ, role_credentials="TENCENTCLOUD_SECRETID" in os.environ)
configure_logs(_settings.log_level)
_app = create_app(_settings)


def main_handler(event: object, context: object) -> dict[str, Any]:
    """Answer one event: a Function URL's, one in API Gateway's shape, or a direct invocation. Never raises."""
    return events.handle(event, context, _app)
