"""Personal data in the arguments of tasks: encrypted with a key per subject, which can be destroyed."""
