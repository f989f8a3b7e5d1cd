"""What people do: tasks, calls, visits, letters, and what they report of them."""
