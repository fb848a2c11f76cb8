"""What is read and kept: the YAML, the record, the eLog, pages of figures."""
