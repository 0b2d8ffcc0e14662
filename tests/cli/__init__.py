"""Tests of the command `signup-bridge`."""
