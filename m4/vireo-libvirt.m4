dnl VIREO_LIBVIRT: finds libvirt's source of the installed version, for the driver.
AC_DEFUN([VIREO_LIBVIRT], [
  AC_ARG_ENABLE([driver],
    [AS_HELP_STRING([--disable-driver], [build only the monitor, not the libvirt driver and daemon])],
    [], [enable_driver=no])
  AM_CONDITIONAL([DRIVER], [test "$enable_driver" = yes])
])
