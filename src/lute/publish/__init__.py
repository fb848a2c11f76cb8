"""What leaves the record: pages of figures, eLog and outbox, crates, YAML to run again."""
