"""Tables, migrations, the ledger, fact queries, bulk reads and writes."""
