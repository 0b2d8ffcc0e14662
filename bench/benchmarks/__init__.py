"""Each benchmark interleaves the things it compares, A B A B, so that other load on the machine affects all of them."""
