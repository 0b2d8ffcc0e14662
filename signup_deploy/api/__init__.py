"""Call SCF's API."""
