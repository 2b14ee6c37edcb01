/*
 * virtio_scsi_internal.h: what the files of the SCSI adapter share
 *
 * SPDX-License-Identifier: LGPL-2.1-or-later
 */
#pragma once

#include "vmm/scsi/scsi.h"
#include "vmm/virtio/virtio_device.h"
#include "vmm/virtio/virtio_scsi.h"

enum { VIRTIO_SCSI_CONTROL = 0, VIRTIO_SCSI_EVENT = 1, VIRTIO_SCSI_REQUESTS = 2 };
#define VIRTIO_SCSI_CDB_MAX   255u
#define VIRTIO_SCSI_SENSE_MAX 255u

typedef struct VirtioScsi VirtioScsi;
typedef struct ScsiRequest ScsiRequest;

/* What a task management function is about: one unit, or all of a target. */
typedef struct ScsiFunction {
	uint32_t kind;
	unsigned target, lun;
} ScsiFunction;

struct ScsiRequest {
	BlockRequest block;
	VirtioScsi *scsi;
	VirtioQueue *queue;
	VirtqueueElement *element;
	ScsiDisk *disk;		   /* while it is busy with it */
	struct iovec response_one; /* where the response goes, if it is in one piece */
	struct iovec *response;	   /* &response_one, or allocated */
	unsigned n_response;
	uint64_t data_size; /* bytes of either direction that the driver has room for */
	ScsiFunction function;
	ScsiRequest *next; /* of those that are held, or of the functions that wait */
};

/* Saved: a bit for each head whose request was held, or was a function that waited. */
typedef struct ScsiHeads {
	uint64_t held[VIRTQUEUE_MAX_SIZE / 64];
} ScsiHeads;

struct VirtioScsi {
	VirtioDevice virtio;
	ScsiBus bus;

	/* Properties. */
	uint16_t num_queues, queue_size;

	uint32_t cdb_size, sense_size; /* device lock; stopped, or as at the start */
	uint32_t max_cdb_size, max_sense_size;

	/* Loop thread, or stopped. */
	ScsiRequest *requests;	/* by queue and slot; the event queue uses none */
	ScsiRequest *held;	/* they failed, or nobody was there: made again at the next start */
	ScsiRequest *functions; /* wait for their unit to be idle */
	ScsiHeads *heads;	/* by queue */
	uint32_t n_heads;
	bool event_missed;
	ScsiOutcome outcome; /* of the command at hand */
};

static inline VirtioScsi *virtio_scsi(VirtioDevice *device)
{
	return (VirtioScsi *)device;
}

/* virtio_scsi_data.c */

/* What is in the control queue, and in a request queue: for virtio_queue_process(). Loop thread. */
bool virtio_scsi_handle_control(VirtioQueue *queue, VirtqueueElement *element);
bool virtio_scsi_handle_command(VirtioQueue *queue, VirtqueueElement *element);

/* Make the requests again that were held when the adapter last stopped. Loop thread. */
void virtio_scsi_start_held(VirtioScsi *scsi);

/* @disk and its medium part: what is held of it is answered at the next start. Loop thread. */
void virtio_scsi_release_held(VirtioScsi *scsi, const ScsiDisk *disk);

/* Forget what was held of @queue, or of all (NULL); stopped. */
void virtio_scsi_forget_held(VirtioScsi *scsi, const VirtioQueue *queue);

/* Bring the heads up to date; stopped. */
void virtio_scsi_save_held(VirtioScsi *scsi);
