"""The event function: SCF calls ``main_handler`` for each event. It reads the settings when the instance starts."""

from __future__ import annotations

import gc
import logging.config
import os
from typing import Any

gc.disable()  # imports create no garbage, and the collector takes a twentieth of a cold start
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
    """Handle one event of a Function URL, an API gateway, CKafka, the event bus, a timer, or a direct invocation.

    Raises only `ckafka.BatchRetry`, to request a retry of a batch or of an event of the bus.
    """
    return _handler.handle(event, context)
