"""Make the function in the cloud what serverless.yml describes."""
