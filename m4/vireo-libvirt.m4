dnl VIREO_LIBVIRT: finds libvirt's source of the installed version, whose internal headers and daemon
dnl files the driver and virtvireod are built from.
AC_DEFUN([VIREO_LIBVIRT], [
  AC_ARG_ENABLE([driver],
    [AS_HELP_STRING([--disable-driver], [build only the monitor, not the libvirt driver and daemon])],
    [], [enable_driver=yes])
  AC_ARG_WITH([libvirt-source],
    [AS_HELP_STRING([--with-libvirt-source=DIR],
      [libvirt's prepared source @<:@where driver/fetch-libvirt-source puts it@:>@])],
    [], [with_libvirt_source=])
  AM_CONDITIONAL([DRIVER], [test "$enable_driver" = yes])
  AS_IF([test "$enable_driver" = yes], [VIREO_LIBVIRT_FIND])
  AC_SUBST([LIBVIRT_SOURCE])
  AC_SUBST([LIBVIRT_MODULE_DIR])
  AC_SUBST([LIBVIRT_MODULE_ENVIRONMENT])
  AC_SUBST([SYSTEMD_UNIT_DIR])
  AC_SUBST([SYSTEMD_USER_UNIT_DIR])
  AC_SUBST([TMPFILES_DIR])
])

AC_DEFUN([VIREO_LIBVIRT_FIND], [
  PKG_CHECK_MODULES([LIBVIRT], [libvirt >= 9.0.0], [],
    [AC_MSG_ERROR([libvirt's headers were not found; on Debian: apt install libvirt-dev (or configure with --disable-driver)])])
  PKG_CHECK_MODULES([GIO], [gio-2.0 gobject-2.0])
  PKG_CHECK_MODULES([LIBXML], [libxml-2.0])
  PKG_CHECK_MODULES([DAEMON], [gio-2.0 libxml-2.0 libtirpc gnutls libnl-3.0 libnl-route-3.0 libsasl2 libvirt-lxc libvirt-qemu], [],
    [AC_MSG_ERROR([virtvireod needs what libvirt's own daemons need; driver/fetch-libvirt-source --help lists the packages])])

  AS_IF([test -z "$with_libvirt_source"],
        [with_libvirt_source=`"$srcdir/driver/fetch-libvirt-source" --print`])
  AC_MSG_CHECKING([for libvirt's prepared source])
  AS_IF([test ! -f "$with_libvirt_source/src/libvirt_private.syms"],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([$with_libvirt_source does not hold libvirt's source.
The driver is built against the internal headers of the installed libvirt. Fetch them with
    $srcdir/driver/fetch-libvirt-source
or give --with-libvirt-source=DIR, or leave the driver out with --disable-driver.])])
  AS_IF([test ! -f "$with_libvirt_source/build/meson-config.h" ||
         test ! -f "$with_libvirt_source/build/src/access/viraccessapicheck.h" ||
         test ! -f "$with_libvirt_source/build/src/remote/remote_daemon_dispatch_stubs.h"],
    [AC_MSG_RESULT([not prepared])
     AC_MSG_ERROR([$with_libvirt_source lacks libvirt's generated headers; remove it and run $srcdir/driver/fetch-libvirt-source])])
  LIBVIRT_SOURCE=`cd "$with_libvirt_source" && pwd`
  AC_MSG_RESULT([$LIBVIRT_SOURCE])

  AC_MSG_CHECKING([that libvirt's source is of the installed version])
  vireo_installed=`$PKG_CONFIG --modversion libvirt`
  vireo_source=`$SED -n 's/^#define PACKAGE_VERSION "\(.*\)"$/\1/p' "$LIBVIRT_SOURCE/build/meson-config.h"`
  AS_IF([test -z "$vireo_source"],
        [vireo_source=`$SED -n "s/^ *version: '\(.*\)',$/\1/p" "$LIBVIRT_SOURCE/meson.build" | head -n 1`])
  AS_IF([test "$vireo_source" != "$vireo_installed"],
    [AC_MSG_RESULT([no])
     AC_MSG_ERROR([libvirt $vireo_installed is installed, but $LIBVIRT_SOURCE is libvirt $vireo_source: its symbols would not resolve])])
  AC_MSG_RESULT([$vireo_installed])

  dnl libvirt looks for modules in one directory, fixed when it was built. Elsewhere the daemon has to be told.
  vireo_expanded_prefix=$prefix
  AS_IF([test "$prefix" = NONE], [vireo_expanded_prefix=$ac_default_prefix])
  AS_IF([test "$vireo_expanded_prefix" = "`$PKG_CONFIG --variable=prefix libvirt`"],
    [LIBVIRT_MODULE_DIR=`$PKG_CONFIG --variable=libdir libvirt`/libvirt/connection-driver
     LIBVIRT_MODULE_ENVIRONMENT=],
    [LIBVIRT_MODULE_DIR='${libdir}/libvirt/connection-driver'
     LIBVIRT_MODULE_ENVIRONMENT='Environment=LIBVIRT_DRIVER_DIR=${libdir}/libvirt/connection-driver'])
  SYSTEMD_UNIT_DIR='${prefix}/lib/systemd/system'
  SYSTEMD_USER_UNIT_DIR='${prefix}/lib/systemd/user'
  TMPFILES_DIR='${prefix}/lib/tmpfiles.d'
])
