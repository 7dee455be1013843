"""One module per file format of the sources: bytes or paths in, arrays out."""
