dnl VIREO_COMPILER_FLAGS: the language, the warnings, --enable-werror, --enable-sanitizers and
dnl --enable-fuzzers.
AC_DEFUN([VIREO_COMPILER_FLAGS], [
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [treat compiler warnings as errors])],
    [], [enable_werror=no])
  AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers], [build with AddressSanitizer and UndefinedBehaviorSanitizer])],
    [], [enable_sanitizers=no])
  AC_ARG_ENABLE([fuzzers],
    [AS_HELP_STRING([--enable-fuzzers], [for make fuzzers: libFuzzer, with sanitizers (needs CC=clang)])],
    [], [enable_fuzzers=no])
  AS_IF([test "$enable_fuzzers" = yes], [enable_sanitizers=yes])

  VIREO_CFLAGS="-std=gnu17 -fno-strict-aliasing -fno-common"
  VIREO_WARNINGS="-Wall -Wextra -Wimplicit-fallthrough -Wvla -Wformat=2 -Wmissing-prototypes -Wshadow"
  VIREO_WARNINGS="$VIREO_WARNINGS -Wstrict-prototypes -Wpointer-arith -Wundef"
  AS_IF([test "$enable_werror" = yes], [VIREO_WARNINGS="$VIREO_WARNINGS -Werror"])
  VIREO_LDFLAGS="-Wl,-z,relro -Wl,-z,noexecstack"
  AS_IF([test "$enable_sanitizers" = yes], [
    VIREO_CFLAGS="$VIREO_CFLAGS -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
    VIREO_LDFLAGS="$VIREO_LDFLAGS -fsanitize=address,undefined"
    AC_DEFINE([VIREO_SANITIZERS], [1], [Built with AddressSanitizer and UndefinedBehaviorSanitizer.])
  ])
  AS_IF([test "$enable_fuzzers" = yes], [
    VIREO_CFLAGS="$VIREO_CFLAGS -fsanitize=fuzzer-no-link"
    AC_LANG_PUSH([C])
    saved_CFLAGS=$CFLAGS
    CFLAGS="$CFLAGS -fsanitize=fuzzer-no-link"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [],
      [AC_MSG_ERROR([--enable-fuzzers needs libFuzzer; configure with CC=clang])])
    CFLAGS=$saved_CFLAGS
    AC_LANG_POP([C])
  ])
  AM_CONDITIONAL([FUZZERS], [test "$enable_fuzzers" = yes])
  AM_CONDITIONAL([SANITIZERS], [test "$enable_sanitizers" = yes])
  AC_SUBST([VIREO_CFLAGS])
  AC_SUBST([VIREO_WARNINGS])
  AC_SUBST([VIREO_LDFLAGS])
])
