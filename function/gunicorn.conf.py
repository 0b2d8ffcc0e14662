"""The configuration of gunicorn on SCF and elsewhere: ``gunicorn -c gunicorn.conf.py``."""

from __future__ import annotations

import gc
import logging.config
import os
import socket
import sys
from typing import Any

# Imports create no garbage, and the collector takes a twentieth of a cold start.
gc.disable()

_here = os.path.dirname(os.path.abspath(__file__))
if _here not in sys.path:  # a duplicate would be searched again for every import
    sys.path.insert(0, _here)

# These packages are next to this file, which may be outside the current folder.
from signup_bridge import settings, startup  # noqa: E402
from signup_bridge.telemetry import logs  # noqa: E402
from signup_bridge.web import wsgi_environ  # noqa: E402

try:
    _settings = settings.load(os.environ)
except settings.SettingsError as error:
    _format = "json" if settings.is_scf(os.environ) else os.environ.get("LOG_FORMAT", "")
    startup.refuse(str(error), error.problems, log_format=_format)

wsgi_app = "signup_bridge.app:create_app()"
pythonpath = _here
bind = f"{f'[{_settings.host}]' if ':' in _settings.host else _settings.host}:{_settings.port}"
workers = 1
worker_class = "signup_bridge.web.gunicorn_worker.Worker"
# One for each delivery in progress and for each that waits, and a few for /health, /ready and the response to requests
# above these limits.
threads = _settings.concurrency + settings.MAX_QUEUED + 4
graceful_timeout = int(_settings.request_budget) + 2
# The default would kill a worker after a freeze, together with the request that ended the freeze.
timeout = 0
# Longer than load balancers keep idle connections (60 s, 350 s), so that the bridge never closes one that they use.
keepalive = _settings.keep_alive
# gunicorn's defaults. Larger requests do not reach the application.
limit_request_line, limit_request_fields, limit_request_field_size = 4094, 100, 8190
# By default, gunicorn uses another parser if its package is installed.
http_parser = "python"
# If gunicorn configures logging itself, it builds an access log record for every request, even if nothing writes it.
logging.config.dictConfig(logs.dict_config(_settings.log_level, _settings.log_format))
errorlog = accesslog = None
control_socket_disable = True
# Trust no proxy headers, not even from a proxy on this machine.
forwarded_allow_ips = ""


_limits = {
    # Accept a connection only after its first byte has arrived. Otherwise, a thread would wait up to 5 s for it.
    "TCP_DEFER_ACCEPT": keepalive,
    # Milliseconds after which a caller that does not read its response is disconnected. Resending lost packets can take
    # some seconds.
    "TCP_USER_TIMEOUT": int(max(5.0, _settings.request_budget) * 1000),
}


def pre_fork(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Serve in gunicorn's first process on SCF, which replaces an instance whose process has ended.

    Elsewhere gunicorn forks, and its first process restarts a worker that ends. It takes a fifth of the memory.
    """
    if settings.is_scf(os.environ):
        worker.pid = os.getpid()
        worker.init_process()
        sys.exit()


def post_worker_init(worker: Any) -> None:
    worker.budget = _settings.request_budget
    worker.profile = _settings.sender_profile
    for listener in worker.sockets:
        for name in _limits.keys() & vars(socket):  # on Linux only; connections inherit them from their listener
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _limits[name])
    gc.freeze()
    gc.enable()


def pre_request(worker: Any, req: Any) -> None:  # noqa: ARG001
    wsgi_environ.current_request.set(req)
