"""The verbs: parse, call the registry, hand the result to a view."""
