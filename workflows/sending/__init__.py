"""From due to gone, and what became of it: the door out, second looks, receipts, messages in doubt."""
