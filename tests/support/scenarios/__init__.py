"""Outcomes that are brought about, senders that retry, and what must hold whatever fails."""
