"""Configure gunicorn with one worker and the bridge's default number of threads (CONCURRENCY)."""

import os

wsgi_app = "app:app"
bind = f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '9000')}"
workers = 1
worker_class = "gthread"
threads = 16
control_socket_disable = True
