"""What comes in from outside: kept first, then handled once."""
