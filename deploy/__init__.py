"""Builds what SCF runs, and deploys it; never deployed itself."""
