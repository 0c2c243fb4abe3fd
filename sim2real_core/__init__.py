"""What every room shares: robot profile, parameter addresses, records, messages, errors."""
