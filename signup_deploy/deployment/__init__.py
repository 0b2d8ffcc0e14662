"""Create or update the function in the cloud."""
