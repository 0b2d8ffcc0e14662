"""The console: a page and REST beside the API, where a delivery is made, watched and repeated."""
