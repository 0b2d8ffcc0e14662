"""Tools of other languages: npm packages, OpenAPI linters and generators, schemathesis."""
