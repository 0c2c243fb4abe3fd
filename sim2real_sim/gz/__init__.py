"""Modern Gazebo (Harmonic, Ionic, Jetty): a world over its own transport."""
