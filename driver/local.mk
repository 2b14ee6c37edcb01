# The libvirt driver module and its daemon.
