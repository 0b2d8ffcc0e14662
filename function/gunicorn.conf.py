"""gunicorn's settings, for SCF's web function and for a laptop alike: ``gunicorn -c gunicorn.conf.py``."""

from __future__ import annotations

import os
import socket
import struct
import sys
from typing import Any

_here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, _here)

from bridge import logs, settings  # noqa: E402  they lie beside this file, wherever gunicorn is started

try:
    _settings = settings.load(os.environ)
except settings.SettingsError as error:
    sys.exit(str(error))

wsgi_app = "bridge.app:create_app()"
pythonpath = _here
bind = f"{f'[{_settings.host}]' if ':' in _settings.host else _settings.host}:{_settings.port}"
workers = 1
worker_class = "bridge.worker.Worker"
# SCF gives an instance CONCURRENCY requests at once. When all of them wait for the API, /health must still be answered.
threads = _settings.concurrency + 4
graceful_timeout = int(_settings.request_budget) + 2
timeout = graceful_timeout + 30
logconfig_dict = logs.configuration(_settings.log_level)
accesslog = None
control_socket_disable = True
# Nothing that a caller says of itself is believed, be it a proxy on this machine.
forwarded_allow_ips = ""


def post_worker_init(worker: Any) -> None:
    """A caller that stops in the middle of a request holds a thread for the budget at most, and not for ever.

    gunicorn reads without a time-out once a request has begun. Linux hands this one down to what is accepted.
    """
    seconds, part = divmod(_settings.request_budget, 1)
    for listener in worker.sockets:
        listener.sock.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(part * 1e6))
        )
