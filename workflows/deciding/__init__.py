"""From facts to decisions: the sweep of the whole book, one borrower live, and what is written of both."""
