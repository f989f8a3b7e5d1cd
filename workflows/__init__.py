"""What moves things: import, sweep, dispatch, handle events, keep the schedule."""
