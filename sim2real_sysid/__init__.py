"""What is true of the robot: online identification of its dynamic parameters."""
