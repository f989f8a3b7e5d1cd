"""
The periodic compliance review: what was done in one month, counted from what happened and not from what the gate said.

The month's rows are read once, page by page, into a work file on disk; everything after that is asked of the work file,
so that memory is bounded however many decisions the month holds.
"""
