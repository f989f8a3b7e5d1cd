"""Decisions derived again: as they were known then, and as they are known now."""
