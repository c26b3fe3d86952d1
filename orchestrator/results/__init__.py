"""What a run has found: read from its record, ranked, shown as a table, exported."""
