"""gunicorn's settings, for SCF's web function and for a laptop alike: ``gunicorn -c gunicorn.conf.py``."""

from __future__ import annotations

import os
import sys

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
worker_class = "gthread"
# A few more than the deliveries worked on at once, so that there is always one to answer /health.
threads = _settings.concurrency + 4
graceful_timeout = int(_settings.request_budget) + 2
timeout = graceful_timeout + 30
logconfig_dict = logs.configuration(_settings.log_level)
accesslog = None
control_socket_disable = True
