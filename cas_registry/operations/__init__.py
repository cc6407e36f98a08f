"""The verbs: functions over the stores and the folder on disk that return frozen reports. They never print."""
