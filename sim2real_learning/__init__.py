"""What is learned: environments, training, fine-tuning, evaluation and the measured gap."""
