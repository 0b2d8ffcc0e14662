"""The event function: SCF calls ``main_handler`` for each event. It reads the settings when the instance starts."""

from __future__ import annotations

import gc
import logging.config
import os
from typing import Any

gc.disable()  # imports make no garbage; to look for some takes a twentieth of a cold start
try:
    from signup_bridge import settings, startup
    from signup_bridge.app import create_app, create_event_handler
    from signup_bridge.telemetry import logs

    try:
        _settings = settings.load(os.environ, event_function=True)
    except settings.SettingsError as error:
        startup.refuse(str(error), error.problems)
    logging.config.dictConfig(logs.dict_config(_settings.log_level))
    _handler = create_event_handler(create_app(_settings))
    gc.freeze()
finally:
    gc.enable()


def main_handler(event: object, context: object) -> dict[str, Any]:
    """Handle one event: a Function URL's, one in API Gateway's shape, a CKafka batch, a bus's, a timer's, a direct one.

    Raises only `ckafka.BatchRetry`, to have a batch or a bus's event sent again.
    ``context`` is the platform's dict about this invocation, with ``request_id`` and ``time_limit_in_ms``.
    """
    return _handler.handle(event, context)
