"""What the outside reaches by HTTP. Loaded by `duecourse listen` alone."""
