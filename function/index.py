"""The event function: SCF calls ``main_handler`` for each event. The settings are read when the instance starts."""

from __future__ import annotations

import gc
import logging.config
import os
from typing import Any

gc.disable()  # nothing that importing makes is garbage; looking for some takes a twentieth of a cold start
try:
    from signup_bridge import settings, startup
    from signup_bridge.app import create_app
    from signup_bridge.core.clock import SystemClock
    from signup_bridge.events import handler
    from signup_bridge.telemetry import logs

    try:
        _settings = settings.load(os.environ, event_function=True)
    except settings.SettingsError as error:
        startup.refuse(error)
    logging.config.dictConfig(logs.dict_config(_settings.log_level))
    _clock = SystemClock()
    _app = create_app(_settings, clock=_clock)
    _handler = handler.Handler(_app, _app.extensions["ledger"], _clock, budget=_settings.request_budget)
    gc.freeze()
finally:
    gc.enable()


def main_handler(event: object, context: object) -> dict[str, Any]:
    """Answer one event: a Function URL's, one in API Gateway's shape, a CKafka batch, a bus's, a timer's, a direct one.

    Raises nothing but `ckafka.Redeliver`, for a batch or a bus's event to be sent again.
    ``context`` is the platform's dict about this invocation, with ``request_id`` and ``time_limit_in_ms``.
    """
    return _handler.handle(event, context)
