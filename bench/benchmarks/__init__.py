"""The measures: each runs what it compares in turns, A B A B, so that whatever else the machine does falls on all."""
