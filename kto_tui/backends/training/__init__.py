"""What every backend's training does alike; knows no training library."""
