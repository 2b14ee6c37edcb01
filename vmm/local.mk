# The monitor. libvmm.a is everything but main(), so that tests and fuzzers link the same code.
VMM_CFLAGS = $(AM_CFLAGS) $(GLIB_CFLAGS) $(JSON_CFLAGS) $(URING_CFLAGS) $(SECCOMP_CFLAGS)
VMM_LIBS = $(GLIB_LIBS) $(JSON_LIBS) $(URING_LIBS) $(SECCOMP_LIBS)

noinst_LIBRARIES += libvmm.a
libvmm_a_CFLAGS = $(VMM_CFLAGS)
libvmm_a_SOURCES =

bin_PROGRAMS += vireo
vireo_CFLAGS = $(VMM_CFLAGS)
vireo_SOURCES = vmm/main.c
vireo_LDADD = libvmm.a $(VMM_LIBS)
