"""An emulated SCF account, and deployments to it."""
