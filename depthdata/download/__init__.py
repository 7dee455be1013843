"""Fetching what the sources publish: files that arrive whole, or one line that says why not."""
