"""One adapter per way of reaching a person: message in, receipt out. No database."""
