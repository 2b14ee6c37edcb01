/*
 * test-vm-config.c: command lines, and what they are understood as
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#include "config.h"

#include "vmm/config/vm_config.h"

#include <string.h>

/* Parse the words of @line. */
static VmConfig *parse(const char *line, GError **error)
{
	g_autofree char *all = g_strconcat("vireo ", line, NULL);
	g_auto(GStrv) words = g_strsplit(all, " ", -1);

	return vm_config_parse((int)g_strv_length(words), words, error);
}

static void test_topology(void)
{
	static const struct {
		const char *line;
		unsigned sockets, dies, cores, threads;
	} cases[] = {
		{ "-smp 1", 1, 1, 1, 1 },
		{ "-smp 6", 1, 1, 6, 1 },
		{ "-smp cpus=8,threads=2", 1, 1, 4, 2 },
		{ "-smp 8,cores=2", 4, 1, 2, 1 },
		{ "-smp 8,sockets=2", 2, 1, 4, 1 },
		{ "-smp sockets=2,dies=2,cores=3,threads=2", 2, 2, 3, 2 },
		{ "-smp 255", 1, 1, 255, 1 },
		{ "-smp 4,maxcpus=4", 1, 1, 4, 1 },
		{ "-smp 4,maxcpus=8,cores=2", 4, 1, 2, 1 },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(VmConfig) config = parse(cases[i].line, &error);
		const CpuTopology *topology;

		g_assert_no_error(error);
		topology = &config->cpu_topology;
		g_test_message("%s", cases[i].line);
		g_assert_cmpuint(topology->sockets, ==, cases[i].sockets);
		g_assert_cmpuint(topology->dies, ==, cases[i].dies);
		g_assert_cmpuint(topology->cores, ==, cases[i].cores);
		g_assert_cmpuint(topology->threads, ==, cases[i].threads);
		g_assert_cmpuint(topology->max_cpus, ==,
				 topology->sockets * topology->dies * topology->cores *
					 topology->threads);
		g_assert_cmpuint(topology->cpus, ==,
				 strstr(cases[i].line, "maxcpus=8") ? 4 : topology->max_cpus);
	}
}

/* Each with a part of what is said about it. */
static void test_refusals(void)
{
	static const char *const cases[][2] = {
		{ "-smp 0", "'cpus'" },
		{ "-smp 256", "256 CPUs are more than the 255" },
		{ "-smp 300", "300 CPUs are more" },
		{ "-smp 4,cores=3", "must be the number of CPUs (4)" },
		{ "-smp 8,maxcpus=4", "8 CPUs are more than maxcpus, 4" },
		{ "-smp 4,maxcpus=8,sockets=4,cores=1", "must be the number of CPUs (8)" },
		{ "-smp 4,clusters=2", "there is no 'clusters' here" },
		/* Products that are 0, 4 and far too large in 32 bits. */
		{ "-smp cpus=4,sockets=16384,dies=16384,threads=16", "must be the number of CPUs (4)" },
		{ "-smp 4,sockets=32769,dies=1,cores=32769,threads=4",
		  "must be the number of CPUs (4)" },
		{ "-smp sockets=65535,dies=65535,cores=65535,threads=65535",
		  "18445618199572250625 CPUs are more" },
		{ "-smp sockets=65536", "'sockets'" },
		{ "-m 0", "-m 0: a machine needs memory" },
		{ "-m 1x", "1x" },
		{ "-m 99999999999T", "-m 99999999999T: " },
		{ "-m 512,slots=4", "slots without a maxmem" },
		{ "-m 512,maxmem=256", "maxmem is less" },
		{ "-m 512,maxmem=1G,slots=257", "the most is 256" },
		{ "-m 512,colour=red", "there is no 'colour' here" },
		{ "-numa cpu,node-id=0", "there is 'node' and 'dist'" },
		{ "-numa node,mem=128M", "use memdev" },
		{ "-numa node,cpus=x", "cpus=x is no number" },
		{ "-numa node,cpus=3-1", "the last is before the first" },
		{ "-numa node,cpus=0-999", "the most is 255" },
		{ "-numa node,nodeid=128", "the most is 127" },
		{ "-numa node,memdev", "'memdev' has no value" },
		{ "-numa node,memdev=a,memdev=b", "there is no 'memdev=b' here" },
		{ "-numa node,nodeid=0 -numa node,nodeid=0", "node 0 is there already" },
		{ "-numa node,cpus=0 -numa node,cpus=0", "CPU 0 is in node 0 already" },
		{ "-numa node,nodeid=1,cpus=0,memdev=a", "node 0 is missing" },
		{ "-numa node,cpus=0", "no node has memory" },
		{ "-numa node,memdev=a", "CPU 0 is in no node" },
		{ "-numa node,cpus=0-1,memdev=a", "there is no CPU 1" },
		{ "-numa dist,src=0,dst=1,val=9", "others are more" },
		{ "-numa dist,src=0,dst=1,val=256", "the most is 255" },
		{ "-numa dist,src=0,dst=0,val=11", "others are more" },
		{ "-numa dist,src=0,dst=1", "needs src, dst and val" },
		{ "-numa dist,src=0,dst=1,val=20", "dist needs nodes" },
		{ "-numa node,cpus=0,memdev=a -numa node,memdev=b -numa dist,src=0,dst=2,val=20",
		  "there is no node 2" },
		{ "-numa node,cpus=0,memdev=a -numa node -numa node -numa dist,src=0,dst=2,val=20",
		  "dist from node 0 to 1 is missing" },
		{ "-numa node,cpus=0,memdev=a -M q35,memory-backend=b", "nodes (-numa) have theirs" },
		{ "-overcommit cpu-pm=on", "there is no 'cpu-pm' here" },
		{ "-machine pc", "there is no machine type 'pc'" },
		{ "-machine q35,accel=tcg", "there is no accelerator 'tcg'" },
		{ "-machine q35,kernel-irqchip=off", "always KVM's" },
		{ "-machine q35,usb=on", "there is no 'usb' here" },
		{ "-accel tcg", "no accelerator but kvm" },
		{ "-cpu host,vmx", "use +vmx" },
		{ "-cpu host,vmx=maybe", "use on, off or force" },
		{ "-cpu host,enforce=maybe", "enforce" },
		{ "-uuid 1234", "is no UUID" },
		{ "-action reboot=explode", "'reboot'" },
		{ "-action watchdog=explode", "'watchdog'" },
		{ "-sandbox maybe", "use on or off" },
		{ "-display gtk", "there is only 'none'" },
		{ "-vga std", "there is only 'none'" },
		{ "-monitor stdio", "there is only 'none'" },
		{ "-mon mode=control", "names no chardev" },
		{ "-mon c0", "only mode=control" },
		{ "-mon c0,mode=readline", "only mode=control" },
		{ "-serial telnet::4444", "use one of" },
		{ "-serial tcp:localhost", "use tcp:HOST:PORT" },
		{ "-pidfile", "-pidfile: needs an argument" },
		{ "-drive file=x", "-drive: there is no such option" },
		{ "-usb", "-usb: there is no such option" },
		{ "disk.img", "disk.img: there is no such option" },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(VmConfig) config = parse(cases[i][0], &error);

		g_test_message("%s: %s", cases[i][0], error ? error->message : "accepted");
		g_assert_null(config);
		g_assert_nonnull(error);
		g_assert_nonnull(strstr(error->message, cases[i][1]));
	}
}

static void test_values(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(VmConfig) config =
		parse("-name guest=g1,debug-threads=on -uuid 00112233-4455-6677-8899-aabbccddeeff "
		      "-m 2G --machine vireo-q35-1.0,memory-backend=ram0 -cpu max,-vmx,avx=on "
		      "-action reboot=shutdown,panic=none -no-shutdown -S -sandbox off "
		      "-device virtio-blk-pci,drive=d0 -msg timestamp=on",
		      &error);
	static const uint8_t uuid[] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
					0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	const CpuFeatureSetting *vmx, *avx;
	const VmConfigItem *device;

	g_assert_no_error(error);
	g_assert_cmpstr(config->name, ==, "g1");
	g_assert_true(config->debug_threads && config->has_uuid && config->start_paused);
	g_assert_cmpmem(config->uuid, sizeof(config->uuid), uuid, sizeof(uuid));
	g_assert_cmpuint(config->memory_size, ==, 2ULL << 30);
	g_assert_cmpstr(config->memory_backend, ==, "ram0");
	g_assert_cmpstr(config->cpu_model, ==, "max");
	g_assert_cmpuint(config->cpu_features->len, ==, 2);
	vmx = config->cpu_features->pdata[0];
	avx = config->cpu_features->pdata[1];
	g_assert_cmpstr(vmx->name, ==, "vmx");
	g_assert_cmpint(vmx->state, ==, CPU_FEATURE_OFF);
	g_assert_cmpstr(avx->name, ==, "avx");
	g_assert_cmpint(avx->state, ==, CPU_FEATURE_ON);
	g_assert_cmpint(config->actions.reboot, ==, QAPI_REBOOT_ACTION_SHUTDOWN);
	g_assert_cmpint(config->actions.shutdown, ==, QAPI_SHUTDOWN_ACTION_PAUSE);
	g_assert_cmpint(config->actions.panic, ==, QAPI_PANIC_ACTION_NONE);
	g_assert_false(config->sandbox);
	g_assert_true(config->log_timestamps);
	g_assert_cmpuint(config->devices->len, ==, 1);
	device = config->devices->pdata[0];
	g_assert_cmpstr(json_object_to_json_string_ext(device->options, JSON_C_TO_STRING_PLAIN), ==,
			"{\"driver\":\"virtio-blk-pci\",\"drive\":\"d0\"}");
}

static void test_numa(void)
{
	g_autoptr(GError) error = NULL;
	g_autoptr(VmConfig) config =
		parse("-smp 6 -m 1G,maxmem=4G,slots=2 -M q35,mem-merge=off -overcommit mem-lock=on "
		      "-numa node,cpus=0-1,cpus=5,memdev=a -numa node,nodeid=1,cpus=2-4 "
		      "-numa dist,src=0,dst=1,val=21",
		      &error);
	static const uint8_t nodes[] = { 0, 0, 1, 1, 1, 0, NUMA_NO_NODE };
	const NumaConfig *numa;

	g_assert_no_error(error);
	numa = config->numa;
	g_assert_cmpuint(config->memory_maximum, ==, 4ULL << 30);
	g_assert_cmpuint(config->memory_slots, ==, 2);
	g_assert_false(config->memory_merge);
	g_assert_true(config->dump_guest_core && config->memory_lock);
	g_assert_cmpuint(numa->n_nodes, ==, 2);
	g_assert_cmpstr(numa->nodes[0].memdev, ==, "a");
	g_assert_null(numa->nodes[1].memdev);
	g_assert_cmpmem(numa->node_of_cpu, sizeof(nodes), nodes, sizeof(nodes));
	g_assert_cmpuint(numa->distances[0][0], ==, 10);
	g_assert_cmpuint(numa->distances[0][1], ==, 21);
	g_assert_cmpuint(numa->distances[1][0], ==, 21);
}

/* Help ends the reading: nothing behind it is looked at. */
static void test_help(void)
{
	static const struct {
		const char *line;
		VmHelp help;
	} cases[] = {
		{ "-help", VM_HELP_OPTIONS },
		{ "-h -smp 0", VM_HELP_OPTIONS },
		{ "-version", VM_HELP_VERSION },
		{ "-M ?", VM_HELP_MACHINE },
		{ "-cpu help", VM_HELP_CPU },
		{ "-object help", VM_HELP_OBJECT },
		{ "-device help", VM_HELP_DEVICE },
		{ "-device isa-serial,help", VM_HELP_DEVICE_TYPE },
	};

	for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
		g_autoptr(GError) error = NULL;
		g_autoptr(VmConfig) config = parse(cases[i].line, &error);

		g_assert_no_error(error);
		g_assert_cmpint(config->help, ==, cases[i].help);
	}
}

int main(int argc, char **argv)
{
	g_test_init(&argc, &argv, NULL);
	g_test_add_func("/vm-config/topology", test_topology);
	g_test_add_func("/vm-config/refusals", test_refusals);
	g_test_add_func("/vm-config/values", test_values);
	g_test_add_func("/vm-config/numa", test_numa);
	g_test_add_func("/vm-config/help", test_help);
	return g_test_run();
}
