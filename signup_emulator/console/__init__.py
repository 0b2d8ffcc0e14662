"""The console: a page and REST beside the API, to send, watch and repeat deliveries."""
