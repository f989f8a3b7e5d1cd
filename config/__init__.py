"""How Duecourse is told to run: settings, queues, schedule."""
