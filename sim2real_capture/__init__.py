"""What went wrong: detectors, ring buffer, clips, the way to the workstation."""
