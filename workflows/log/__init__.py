"""The log: positions, signatures, verification, proofs, and the match with what others wrote down."""
