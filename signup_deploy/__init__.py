"""Build the zip that SCF runs, and deploy it. Never deployed itself."""
