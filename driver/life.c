/*
 * The life of a device as its driver leads it: negotiate, map, attach, DRIVER_OK, suspend, resume,
 * reset. Hand-over is in handover.c.
 *
 * The order is that of kernel-side practice: status and features (virtio 3.1.1), memory, then per
 * queue what is the same in every device (NUM, ADDR, CALL, KICK), where it stands (BASE), and last
 * ENABLE, at which the kernel's simulators build their ring from the rest (linux:
 * vdpasim_set_vq_ready()), then DRIVER_OK, then one kick.
 *
 * Mappings outlive a reset in the kernel's bus driver, but not in every device behind it (without
 * IOTLB_PERSIST). To have one answer everywhere, a reset here also unmaps what was mapped here.
 */
#include "driver/connection.h"

#include <errno.h>
#include <string.h>

#include "driver/arena.h"
#include "driver/error.h"
#include "driver/queue.h"
#include "wire/vhost.h"

#define BIT(n) (UINT64_C(1) << (n))

/* Status bits as they come one after the other (virtio 2.1). */
#define S_DRIVER      (VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER)
#define S_FEATURES_OK (S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define S_DRIVER_OK   (S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)

#define REQUIRED (BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM))
#define BACKEND_WANTED                                                          \
	(BIT(VHOST_BACKEND_F_IOTLB_MSG_V2) | BIT(VHOST_BACKEND_F_IOTLB_BATCH) | \
	 BIT(VHOST_BACKEND_F_IOTLB_ASID) | BIT(VHOST_BACKEND_F_SUSPEND) |       \
	 BIT(VHOST_BACKEND_F_RESUME) | BIT(VHOST_BACKEND_F_IOTLB_PERSIST))

/* What an ioctl answered, as a sentence. */
static int refused(struct uvdpa_driver *drv, const char *what, int r, struct uvdpa_error *error)
{
	return drv_error(error, r, "%s: %s: %s", drv->name, what, drv_reason(drv, r));
}

/* Whether the device kept all of the status that was set. */
static int see(struct uvdpa_driver *drv, uint8_t status, const char *what,
	       struct uvdpa_error *error)
{
	uint8_t now = 0;
	int r = uvdpa_get_status(drv, &now);

	if (r < 0)
		return refused(drv, "GET_STATUS", r, error);
	if ((now & status) != status ||
	    now & (VIRTIO_CONFIG_S_FAILED | VIRTIO_CONFIG_S_NEEDS_RESET))
		return drv_error(
			error, -EPROTO,
			"%s: the device refused %s: status 0x%02x was set, 0x%02x is there",
			drv->name, what, status, now);
	return 0;
}

static int set_and_see(struct uvdpa_driver *drv, uint8_t status, const char *what,
		       struct uvdpa_error *error)
{
	int r = uvdpa_set_status(drv, status);

	return r < 0 ? refused(drv, what, r, error) : see(drv, status, what, error);
}

static int negotiate_backend(struct uvdpa_driver *drv, struct uvdpa_error *error)
{
	uint64_t offered = 0;
	int r = uvdpa_get_backend_features(drv, &offered);

	if (r < 0)
		return refused(drv, "GET_BACKEND_FEATURES", r, error);
	r = uvdpa_set_backend_features(drv, offered & BACKEND_WANTED);
	if (r < 0)
		return refused(drv, "SET_BACKEND_FEATURES", r, error);
	drv->backend_features = offered & BACKEND_WANTED;
	return 0;
}

static int negotiate_features(struct uvdpa_driver *drv, uint64_t wanted, uint64_t *features,
			      struct uvdpa_error *error)
{
	uint64_t offered = 0;
	int r = uvdpa_get_features(drv, &offered);

	if (r < 0)
		return refused(drv, "GET_FEATURES", r, error);
	if ((offered & REQUIRED) != REQUIRED)
		return drv_error(
			error, -ENOTSUP,
			"%s: the device offers features 0x%llx, without VERSION_1 (bit 32) "
			"or ACCESS_PLATFORM (bit 33)",
			drv->name, (unsigned long long)offered);
	*features = offered & (wanted | REQUIRED);
	r = uvdpa_set_features(drv, *features);
	if (r < 0)
		return refused(drv, "SET_FEATURES", r, error);
	return 0;
}

int uvdpa_driver_negotiate(struct uvdpa_driver *drv, uint64_t wanted, uint64_t *features,
			   struct uvdpa_error *error)
{
	uint64_t outcome = 0;
	int r = uvdpa_driver_reset(drv);

	if (r < 0)
		return refused(drv, "reset (SET_STATUS 0)", r, error);
	r = set_and_see(drv, VIRTIO_CONFIG_S_ACKNOWLEDGE, "ACKNOWLEDGE", error);
	if (r == 0)
		r = set_and_see(drv, S_DRIVER, "DRIVER", error);
	if (r == 0)
		r = negotiate_backend(drv, error);
	if (r == 0)
		r = negotiate_features(drv, wanted, &outcome, error);
	if (r == 0)
		r = set_and_see(drv, S_FEATURES_OK, "FEATURES_OK", error);
	if (r < 0)
		return r;
	drv->features = outcome;
	drv->negotiated = true;
	if (features)
		*features = outcome;
	return 0;
}

/* Maps ------------------------------------------------------------------------------------- */

static struct drv_map *find_map(struct uvdpa_driver *drv, const struct uvdpa_memory *memory,
				uint32_t asid)
{
	for (unsigned i = 0; i < DRV_MAX_MAPS; i++)
		if (drv->maps[i].memory == memory && (!memory || drv->maps[i].asid == asid))
			return &drv->maps[i];
	return NULL;
}

int uvdpa_driver_map(struct uvdpa_driver *drv, struct uvdpa_memory *memory, uint32_t asid,
		     struct uvdpa_error *error)
{
	struct drv_map *map = find_map(drv, NULL, 0);
	uint64_t first, last;
	int r;

	if (!map)
		return drv_error(error, -ENOSPC, "%s: %d mappings are the most a driver keeps",
				 drv->name, DRV_MAX_MAPS);
	r = uvdpa_get_iova_range(drv, &first, &last);
	if (r < 0)
		return refused(drv, "GET_IOVA_RANGE", r, error);
	if (memory->iova < first || memory->iova + (memory->size - 1) > last)
		return drv_error(error, -ERANGE,
				 "%s: iova 0x%llx and %zu bytes are not inside the device's range "
				 "0x%llx to 0x%llx: choose another .iova for the memory",
				 drv->name, (unsigned long long)memory->iova, memory->size,
				 (unsigned long long)first, (unsigned long long)last);
	r = uvdpa_iotlb_update(drv, asid, memory->iova, memory->size, memory->base,
			       VHOST_ACCESS_RW);
	if (r < 0)
		return refused(drv, "IOTLB update", r, error);
	map->memory = drv_memory_get(memory);
	map->asid = asid;
	return 0;
}

static int unmap(struct uvdpa_driver *drv, struct drv_map *map)
{
	int r = uvdpa_iotlb_invalidate(drv, map->asid, map->memory->iova, map->memory->size);

	drv_memory_put(map->memory);
	map->memory = NULL;
	return r;
}

int uvdpa_driver_unmap(struct uvdpa_driver *drv, struct uvdpa_memory *memory, uint32_t asid)
{
	struct drv_map *map = find_map(drv, memory, asid);

	return map ? unmap(drv, map) : -ENOENT;
}

void drv_forget_maps(struct uvdpa_driver *drv)
{
	for (unsigned i = 0; i < DRV_MAX_MAPS; i++) {
		if (drv->maps[i].memory)
			drv_memory_put(drv->maps[i].memory);
		drv->maps[i].memory = NULL;
	}
}

/* Queues ----------------------------------------------------------------------------------- */

int drv_setup_queue(struct uvdpa_driver *drv, unsigned index, struct uvdpa_queue *q,
		    struct uvdpa_error *error)
{
	struct uvdpa_queue_areas a;
	int r;

	if (index >= drv->queue_count)
		return drv_error(error, -ENOBUFS,
				 "%s: the device has %u queues, there is no queue %u", drv->name,
				 drv->queue_count, index);
	if (drv->announced[index] == q->serial)
		return 0;
	uvdpa_queue_areas(q, &a);
	r = uvdpa_set_vring_num(drv, index, q->size);
	if (r < 0)
		return refused(drv, "SET_VRING_NUM", r, error);
	r = uvdpa_set_vring_addr(drv, index, 0, a.desc_iova, a.avail_iova, a.used_iova, 0);
	if (r < 0)
		return refused(drv, "SET_VRING_ADDR", r, error);
	r = uvdpa_set_vring_call(drv, index, q->call_fd);
	if (r < 0)
		return refused(drv, "SET_VRING_CALL", r, error);
	r = uvdpa_set_vring_kick(drv, index, q->kick_fd);
	if (r < 0)
		return refused(drv, "SET_VRING_KICK", r, error);
	drv->announced[index] = q->serial;
	return 0;
}

static int set_up(struct uvdpa_driver *drv, unsigned index, struct uvdpa_queue *q, uint32_t base,
		  struct uvdpa_error *error)
{
	int r = drv_setup_queue(drv, index, q, error);

	if (r < 0)
		return r;
	r = uvdpa_set_vring_base(drv, index, base);
	if (r < 0)
		return refused(drv, "SET_VRING_BASE", r, error);
	r = uvdpa_set_vring_enable(drv, index, 1);
	if (r < 0)
		return refused(drv, "SET_VRING_ENABLE", r, error);
	return 0;
}

int uvdpa_driver_attach(struct uvdpa_driver *drv, unsigned index, struct uvdpa_queue *q,
			uint32_t base, struct uvdpa_error *error)
{
	if (index < drv->queue_count)
		drv->announced[index] = 0;
	return drv_attach(drv, index, q, base, error);
}

int drv_attach(struct uvdpa_driver *drv, unsigned index, struct uvdpa_queue *q, uint32_t base,
	       struct uvdpa_error *error)
{
	int r;

	if (q->attached || (index < drv->queue_count && drv->queues[index]))
		return drv_error(error, -EBUSY, "%s: queue %u: %s", drv->name, index,
				 q->attached ? "these rings are in use by a device already"
					     : "other rings are attached here already");
	r = set_up(drv, index, q, base, error);
	if (r < 0)
		return r;
	q->attached = true;
	drv->queues[index] = q;
	return 0;
}

void drv_detach_all(struct uvdpa_driver *drv)
{
	for (unsigned i = 0; i < drv->queue_count; i++) {
		if (drv->queues[i])
			drv->queues[i]->attached = false;
		drv->queues[i] = NULL;
		drv->announced[i] = 0;
	}
}

int drv_kick_all(struct uvdpa_driver *drv)
{
	int first = 0;

	for (unsigned i = 0; i < drv->queue_count; i++) {
		int r = drv->queues[i] ? uvdpa_queue_kick_always(drv->queues[i]) : 0;

		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

int drv_set_driver_ok(struct uvdpa_driver *drv, struct uvdpa_error *error)
{
	int r = uvdpa_set_status(drv, S_DRIVER_OK);

	return r < 0 ? refused(drv, "DRIVER_OK", r, error) : 0;
}

int drv_see_driver_ok(struct uvdpa_driver *drv, struct uvdpa_error *error)
{
	return see(drv, S_DRIVER_OK, "DRIVER_OK", error);
}

int uvdpa_driver_start(struct uvdpa_driver *drv, struct uvdpa_error *error)
{
	int r = set_and_see(drv, S_DRIVER_OK, "DRIVER_OK", error);

	if (r < 0)
		return r;
	r = drv_kick_all(drv);
	return r < 0 ? refused(drv, "kick", r, error) : 0;
}

int drv_stop(struct uvdpa_driver *drv)
{
	int r = uvdpa_set_status(drv, 0);

	if (r < 0)
		return r;
	drv_detach_all(drv);
	drv->features = 0;
	drv->negotiated = false;
	drv->suspended = false;
	return 0;
}

void drv_unmap_all(struct uvdpa_driver *drv)
{
	/* it may be refused where the device has no such space any more: it is gone, then */
	for (unsigned i = 0; i < DRV_MAX_MAPS; i++)
		if (drv->maps[i].memory)
			unmap(drv, &drv->maps[i]);
}

int uvdpa_driver_reset(struct uvdpa_driver *drv)
{
	int r = drv_stop(drv);

	if (r == 0)
		drv_unmap_all(drv);
	return r;
}

/* Suspend ---------------------------------------------------------------------------------- */

int uvdpa_driver_suspend(struct uvdpa_driver *drv)
{
	int r = uvdpa_suspend(drv);

	if (r == 0)
		drv->suspended = true;
	return r;
}

int uvdpa_driver_resume(struct uvdpa_driver *drv)
{
	int r = uvdpa_resume(drv);

	if (r < 0)
		return r;
	drv->suspended = false;
	return drv_kick_all(drv);
}

int uvdpa_driver_get_bases(struct uvdpa_driver *drv, uint32_t *bases, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		bases[i] = 0;
	for (unsigned i = 0; i < drv->queue_count; i++) {
		int r;

		if (!drv->queues[i])
			continue;
		if (i >= count)
			return -ENOSPC;
		r = uvdpa_get_vring_base(drv, i, &bases[i]);
		if (r < 0)
			return r;
	}
	return 0;
}
