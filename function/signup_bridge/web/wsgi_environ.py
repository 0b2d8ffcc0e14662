"""What is told to the application beside a request: keys of the WSGI environment, which no header can set."""

SOURCE = "signup_bridge.origin"
"""The `cloudevents.Origin` of a body; but for ``request`` the platform has authorised its caller."""

DELIVERY_KEY = "signup_bridge.delivery_key"
"""The `DeliveryKey` of a direct delivery that names no id itself."""

BUDGET = "signup_bridge.budget"
"""The seconds that the platform leaves for this request."""

QUEUE_TIME = "signup_bridge.age"
"""The seconds since the server accepted the request."""

CLOSE = "signup_bridge.close"
"""Called without arguments: the server closes the connection after this response."""

REJECTION = "signup_bridge.refusal"
"""The `Refusal` that answers an event which stands for no request."""

OUTCOME_CALLBACK = "signup_bridge.hearer"
"""Called with the `Outcome` that is told, and the one that the request ends in: what the answer shows of them depends
on the profile."""
