"""The benchmarks: each interleaves what it compares, A B A B, so that other load on the machine affects all of it."""
