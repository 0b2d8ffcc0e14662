"""One account of the API: its codes, verified contacts, behaviour and error codes."""
