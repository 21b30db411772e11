"""What several tests draw or build."""
