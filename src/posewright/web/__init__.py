"""Pages and servers."""
