"""The regulator's export: a stretch of the log as tables, with the proof that it is that stretch, whole and unchanged."""
