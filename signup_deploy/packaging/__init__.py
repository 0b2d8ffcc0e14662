"""Build the zip that SCF runs."""
