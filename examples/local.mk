# Domain XML templates and the quick start.
dist_noinst_SCRIPTS += examples/quickstart
EXTRA_DIST += examples/direct-boot.xml examples/minimal.xml
