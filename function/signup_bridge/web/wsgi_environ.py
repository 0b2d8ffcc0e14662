"""Keys of the WSGI environment, which no header can set: what the server or the platform knows about a request."""

BUDGET = "signup_bridge.budget"
"""The seconds that the platform leaves for this request."""

QUEUE_TIME = "signup_bridge.age"
"""The seconds since the server accepted the request."""

CLOSE = "signup_bridge.close"
"""Called without arguments: the server closes the connection after this response."""
