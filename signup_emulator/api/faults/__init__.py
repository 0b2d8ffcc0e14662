"""Failures of the API on demand: armed by a request, or chosen by the contact."""
