"""The Domain API over HTTP, as one account sees it: what it knows, checks and answers, and its faults."""
