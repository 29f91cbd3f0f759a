/*
 * The saved state of a device: what another device of the same kind needs to go on where this one
 * stopped (S12), as plain data and as bytes. uvdpa-state(5) specifies the bytes; `uvdpa save` and
 * vhost-user's device state carry the same ones.
 *
 * It holds no descriptors and no memory: the driver, or whoever moves it, brings those. Bytes and
 * snapshots are hostile input until device_restore has taken them; what it refuses changes nothing.
 */
#ifndef UVDPA_DEVICE_STATE_H
#define UVDPA_DEVICE_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "device/limits.h"
#include "model/model.h"
#include "util/error.h"

struct device;

#define STATE_VERSION 1

struct snapshot_queue {
	uint16_t size;
	bool ready;
	uint32_t base; /* as GET_VRING_BASE answers */
	uint64_t desc, driver, used;
	/* Taken and not answered (S3, park), in order of submission: heads in the descriptor table.
	 */
	uint16_t in_flight_count;
	uint16_t in_flight[DEVICE_MAX_QUEUE_SIZE];
};

/* Large: not for the stack. */
struct device_snapshot {
	uint16_t version; /* of the bytes that it was read from */
	char name[DEVICE_NAME_MAX + 1];
	uint32_t device_id;
	uint8_t status;
	uint64_t features; /* negotiated */
	uint16_t queue_count;
	uint16_t model_size;
	uint8_t model[MODEL_STATE_MAX]; /* the model's own: model_ops.state_save */
	struct snapshot_queue queues[DEVICE_MAX_QUEUES];
};

/* The most bytes that a state has, or is read from. */
#define STATE_MAX_BYTES (256u * 1024)

/* Writes the bytes of a snapshot. Returns how many; there is room for STATE_MAX_BYTES. */
size_t state_encode(const struct device_snapshot *snapshot, uint8_t *bytes);
/* Reads them back. Returns 0 or a negative errno with the error filled. */
int state_decode(const uint8_t *bytes, size_t size, struct device_snapshot *snapshot,
		 struct error *err);

/*
 * The state of a device whose driver has set it up and which stands still, or whose driver has not
 * (then there is little to it). -EBUSY: it runs, or its driver's writes to config space are held.
 */
int device_save(struct device *device, struct device_snapshot *snapshot, struct error *err);

/*
 * Has the next driver go on from the snapshot: used at its DRIVER_OK, for every queue that it set
 * up as the snapshot has it (size and ring addresses) and whose base it left alone or set to the
 * same. Kept over resets and other clients until then. -EBUSY: a driver is there already. -EINVAL:
 * it does not fit this device; nothing has changed.
 */
int device_restore(struct device *device, const struct device_snapshot *snapshot,
		   struct error *err);
/* Whether a restored state waits for its driver. */
bool device_is_restored(const struct device *device);
/* It is not wanted any more. */
void device_forget_restored(struct device *device);

#endif
