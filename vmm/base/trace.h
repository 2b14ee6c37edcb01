/*
 * trace.h: static probes (USDT), for bpftrace, perf and SystemTap on a stock binary
 *
 * Each is one instruction that does nothing until a tool puts a breakpoint there, and a note in
 * the binary of where its arguments are: they are what was at hand. Their provider is "vireo":
 *
 *	bpftrace -e 'usdt:/usr/bin/vireo:vireo:vcpu_exit { @[arg1] = count(); }'
 *
 * Names and arguments are documented in vireo(1), which tests/unit/test-probes holds against this
 * file and the binary. Device paths are strings (char *), as qom-list has them.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#ifdef HAVE_SYS_SDT_H
#include <sys/sdt.h>
#define TRACE1(name, a)		 DTRACE_PROBE1(vireo, name, a)
#define TRACE2(name, a, b)	 DTRACE_PROBE2(vireo, name, a, b)
#define TRACE3(name, a, b, c)	 DTRACE_PROBE3(vireo, name, a, b, c)
#define TRACE4(name, a, b, c, d) DTRACE_PROBE4(vireo, name, a, b, c, d)
#else
#define TRACE1(name, a)		 ((void)(a))
#define TRACE2(name, a, b)	 ((void)(a), (void)(b))
#define TRACE3(name, a, b, c)	 ((void)(a), (void)(b), (void)(c))
#define TRACE4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

/* vCPU number @cpu is back from the guest because of @reason (KVM_EXIT_*). */
#define trace_vcpu_exit(cpu, reason) TRACE2(vcpu_exit, cpu, reason)

/* The driver's notification of queue number @queue has arrived. */
#define trace_virtio_kick(device, queue) TRACE2(virtio_kick, device, queue)
/* A request was taken from it: chain @head, which has @bytes to be read and written. */
#define trace_virtio_request(device, queue, head, bytes) \
	TRACE4(virtio_request, device, queue, head, bytes)
/* A request was given back, with @bytes written. */
#define trace_virtio_completion(device, queue, head, bytes) \
	TRACE4(virtio_completion, device, queue, head, bytes)
/* Its driver is interrupted. */
#define trace_virtio_interrupt(device, queue) TRACE2(virtio_interrupt, device, queue)

/* QMP command @name is about to be carried out, and has been, or has failed. */
#define trace_qmp_command(name)	       TRACE1(qmp_command, name)
#define trace_qmp_reply(name, success) TRACE2(qmp_reply, name, success)
