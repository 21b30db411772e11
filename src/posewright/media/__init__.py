"""Pictures and videos in and out: sources, sinks and drawing; each module is loaded when it is asked for by name."""
