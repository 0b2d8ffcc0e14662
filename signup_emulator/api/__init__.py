"""The Domain API of one emulated account, over HTTP, with its checks and faults."""
