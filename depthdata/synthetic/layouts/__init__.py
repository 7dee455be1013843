"""Writers of the raw layouts of the source datasets."""
