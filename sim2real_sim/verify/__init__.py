"""What a simulator really does with a value: physical probes with predictions from mechanics."""
