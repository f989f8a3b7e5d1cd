"""When things run of themselves, and how they stand."""
