"""gunicorn's settings on SCF and elsewhere: ``gunicorn -c gunicorn.conf.py``."""

from __future__ import annotations

import gc
import logging.config
import os
import socket
import sys
from typing import Any

# Imports create no garbage; collecting it takes a twentieth of a cold start.
gc.disable()

_here = os.path.dirname(os.path.abspath(__file__))
if _here not in sys.path:  # each folder there is looked at for each module of the standard library
    sys.path.insert(0, _here)

# These packages are beside this file, wherever gunicorn is started.
from signup_bridge import settings, startup  # noqa: E402
from signup_bridge.telemetry import logs  # noqa: E402
from signup_bridge.web import wsgi_environ  # noqa: E402

try:
    _settings = settings.load(os.environ)
except settings.SettingsError as error:
    startup.refuse(str(error), error.problems)

wsgi_app = "signup_bridge.app:create_app()"
pythonpath = _here
bind = f"{f'[{_settings.host}]' if ':' in _settings.host else _settings.host}:{_settings.port}"
workers = 1
worker_class = "signup_bridge.web.gunicorn_worker.Worker"
# The deliveries in progress and those that wait for them, which cost nothing but a thread, and a few more for /health,
# /ready and the response to a request that is one too many.
threads = _settings.concurrency + settings.MAX_QUEUED + 4
graceful_timeout = int(_settings.request_budget) + 2
# The default would kill a worker that was frozen, together with the request that woke it.
timeout = 0
# Longer than load balancers keep theirs (60 s, 350 s), so that no request meets a connection that the bridge closes.
keepalive = _settings.keep_alive
# gunicorn's defaults. A larger request never reaches the application.
limit_request_line, limit_request_fields, limit_request_field_size = 4094, 100, 8190
# By default gunicorn would use another parser if its package happened to be installed.
http_parser = "python"
# gunicorn builds an access log record for every request if it configures logging itself, even if nothing writes it.
logging.config.dictConfig(logs.dict_config(_settings.log_level))
errorlog = accesslog = None
control_socket_disable = True
# No proxy's headers are trusted, not even those of a proxy on this machine.
forwarded_allow_ips = ""


_limits = {
    # The kernel keeps a connection to itself until its first byte has arrived: a thread would wait 5 s for it.
    "TCP_DEFER_ACCEPT": keepalive,
    # In milliseconds: a caller that does not take its response is disconnected. Lost packets need some seconds.
    "TCP_USER_TIMEOUT": int(max(5.0, _settings.request_budget) * 1000),
}


def pre_fork(server: Any, worker: Any) -> None:  # noqa: ARG001
    """Serve in gunicorn's first process on SCF, which replaces an instance whose process has ended.

    Elsewhere gunicorn forks, and its first process starts another worker if one ends. That takes a fifth of the memory.
    """
    if settings.is_scf(os.environ):
        worker.pid = os.getpid()
        worker.init_process()
        sys.exit()


def post_worker_init(worker: Any) -> None:
    worker.budget = _settings.request_budget
    worker.profile = _settings.sender_profile
    for listener in worker.sockets:
        for name in _limits.keys() & vars(socket):  # Linux has them; connections inherit them from their listener
            listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), _limits[name])
    gc.freeze()
    gc.enable()


def pre_request(worker: Any, req: Any) -> None:  # noqa: ARG001
    wsgi_environ.current_request.set(req)
