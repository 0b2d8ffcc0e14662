"""One worker, as many threads as CONCURRENCY is by default."""

import os

wsgi_app = "app:app"
bind = f"{os.environ.get('HOST', '0.0.0.0')}:{os.environ.get('PORT', '9000')}"
workers = 1
worker_class = "gthread"
threads = 16
control_socket_disable = True
