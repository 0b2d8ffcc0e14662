"""The processes of `make run`, and the console in a browser."""
