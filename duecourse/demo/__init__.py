"""A real loan book, collected for sixty simulated days."""
