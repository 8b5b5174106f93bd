"""From a record to judged answers."""
