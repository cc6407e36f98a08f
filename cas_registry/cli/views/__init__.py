"""What is printed of a result: as a JSON document (docs/json.md), as lines for people, as bare values. Nothing here prints."""
