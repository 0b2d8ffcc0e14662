"""Build the zip that SCF runs, and deploy it. The zip does not contain this package."""
