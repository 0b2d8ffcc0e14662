"""Read serverless.yml and check it."""
