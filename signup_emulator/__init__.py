"""A local stand-in for Tencent Cloud's Domain API, and the tools to try the bridge against it. Never deployed."""
