"""signup-bridge: verify the contact in a signed webhook with one ``CreateIntlPhoneEmail`` call."""

__version__ = "0.1.0"
