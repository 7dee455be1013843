"""Published depth models behind one call."""
