"""The console: a page and REST on the API's port, to send, watch and repeat deliveries."""
