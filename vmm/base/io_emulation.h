/*
 * io_emulation.h: as much of io_uring as I/O loops use, without it
 *
 * For hosts that refuse io_uring. Entries are those of io_uring and mean the same. What has to wait
 * for a descriptor or a time does so in ppoll(); files are left to threads (io_workers.h). Loop
 * thread, unless noted.
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/base/io_workers.h"

typedef struct IoEmulation IoEmulation;

/* One without workers yet. Any thread. */
IoEmulation *io_emulation_new(void);

/* Nothing is in flight. */
void io_emulation_free(IoEmulation *emulation);

/* Who makes the transfers of files; borrowed. Main thread, before there are any. */
void io_emulation_set_workers(IoEmulation *emulation, IoWorkers *workers);

/* As the functions of IoRing. */
struct io_uring_sqe *io_emulation_get_sqe(IoEmulation *emulation);
bool io_emulation_has_entries(const IoEmulation *emulation);
int io_emulation_submit(IoEmulation *emulation);
int io_emulation_submit_and_wait(IoEmulation *emulation, unsigned n_wait);
bool io_emulation_has_work(IoEmulation *emulation);
unsigned io_emulation_n_completions(const IoEmulation *emulation);
bool io_emulation_take(IoEmulation *emulation, IoOperation **operation, int *result);
