"""SCF on this machine: the built zip, unpacked and run as the platform runs a function."""
