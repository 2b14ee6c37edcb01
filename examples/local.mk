# Domain XML templates and the quick start.
