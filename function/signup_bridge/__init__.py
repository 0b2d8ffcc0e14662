"""signup-bridge: a signed webhook in, one ``CreateIntlPhoneEmail`` call, the right HTTP response out."""

__version__ = "0.1.0"
