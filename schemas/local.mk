# The QMP schema and its generator.
QAPI_SCHEMA = \
	schemas/vireo.json \
	schemas/block.json \
	schemas/char.json \
	schemas/common.json \
	schemas/control.json \
	schemas/fds.json \
	schemas/introspect.json \
	schemas/machine.json \
	schemas/migration.json \
	schemas/misc.json \
	schemas/net.json \
	schemas/pci.json \
	schemas/qom.json \
	schemas/run-state.json \
	schemas/sockets.json \
	schemas/stats.json \
	schemas/tpm.json \
	schemas/ui.json
QAPI_GEN = schemas/qapi-gen
QAPI_GEN_FILES = $(QAPI_GEN) \
	schemas/qapi/__init__.py \
	schemas/qapi/c.py \
	schemas/qapi/commands.py \
	schemas/qapi/events.py \
	schemas/qapi/introspect.py \
	schemas/qapi/man.py \
	schemas/qapi/schema.py \
	schemas/qapi/source.py \
	schemas/qapi/types.py
EXTRA_DIST += $(QAPI_SCHEMA) $(QAPI_GEN_FILES)

# Generated into the top of the build tree, where "qapi-types.h" is found. The command table goes
# where the handlers are, so it is not part of libqmp: list $(QAPI_COMMANDS) there.
QAPI_COMMANDS = qapi-commands.c qapi-commands.h
QAPI_GENERATED = \
	qapi-types.c qapi-types.h \
	qapi-events.c qapi-events.h \
	qapi-introspect.c qapi-introspect.h
QAPI_OUTPUTS = $(QAPI_COMMANDS) $(QAPI_GENERATED) vireo-qmp.7

qapi.stamp: $(QAPI_SCHEMA) $(QAPI_GEN_FILES)
	$(AM_V_GEN)$(PYTHON) $(top_srcdir)/$(QAPI_GEN) -k types,commands,events,introspect \
		-m vireo-qmp.7 $(top_srcdir)/schemas/vireo.json
	$(AM_V_at)touch $@
# A file that was removed is made again with all the others.
$(QAPI_OUTPUTS): qapi.stamp
	$(AM_V_at)test -f $@ || { rm -f qapi.stamp; $(MAKE) $(AM_MAKEFLAGS) qapi.stamp; }

BUILT_SOURCES += $(QAPI_COMMANDS) $(QAPI_GENERATED)
CLEANFILES += $(QAPI_OUTPUTS) qapi.stamp
nodist_man_MANS = vireo-qmp.7
