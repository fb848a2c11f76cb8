"""What ours is held against, each as a program of its own."""
