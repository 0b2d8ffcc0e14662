"""One account of the API: the codes it sent, the contacts it verified, how it behaves, what it refuses."""
