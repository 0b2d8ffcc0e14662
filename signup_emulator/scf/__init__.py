"""Run the built zip on this machine as SCF runs a function."""
