"""May this act happen, now, this way? And if not: why, and from when?"""
