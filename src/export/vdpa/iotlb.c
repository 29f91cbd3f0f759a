/*
 * IOTLB messages (kernel: vhost_chr_write_iter, vhost_vdpa_process_iotlb_msg).
 *
 * Theory of operation
 * -------------------
 * The kernel keeps two records of what is mapped, and so do we, because clients
 * see both:
 *
 *     the file's tree    struct iotlb: decides what a message is answered
 *                        (overlaps, limits); lives until close
 *     the device's map   its address spaces: decides what can be reached;
 *                        status 0 empties it unless IOTLB_PERSIST is acked
 *
 * After such a reset an address space is `wiped`: its tree still refuses
 * overlaps, and the device reaches nothing. As in the kernel, the next change
 * of the space outside a batch, or the end of a batch, gives the device the
 * whole tree again. (Kernel devices fall back to an identity map meanwhile;
 * here nothing is mapped: kernel-contract 2.5, IMPL.)
 *
 * As in the kernel, which pins the pages then (vhost_vdpa_pa_map), how a mapping's memory is
 * reached is found out by the message that brings it. That takes as long as the client has
 * mappings, and waits for them to be readable: so it is done before the runtime's lock is taken,
 * and no worker ever does it. Only the client's own calls change the tree, one at a time.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "export/vdpa/vdpa_internal.h"
#include "memory/space.h"

#define MESSAGE_SIZE sizeof(struct vhost_msg_v2)
/* As much of a message as the kernel insists on: up to the end of its body. */
#define MESSAGE_LEAST (offsetof(struct vhost_msg_v2, iotlb) + sizeof(struct vhost_iotlb_msg))

static_assert(sizeof(struct vhost_msg) == MESSAGE_SIZE && MESSAGE_SIZE == 72 && MESSAGE_LEAST == 40,
	      "both message layouts are as the kernel's");

/* The first entry that ends at or after `iova`. */
static unsigned lower(const struct iotlb *iotlb, uint64_t iova)
{
	unsigned low = 0, high = iotlb->count;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (iotlb->entries[middle].last < iova)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int tree_add(struct iotlb *iotlb, const struct iotlb_entry *entry)
{
	unsigned at = lower(iotlb, entry->iova);

	if (at < iotlb->count && iotlb->entries[at].iova <= entry->last)
		return -EEXIST;
	if (iotlb->count >= SPACE_MAX_ENTRIES)
		return -ENOSPC;
	if (iotlb->count == iotlb->room) {
		unsigned room = iotlb->room ? 2 * iotlb->room : 32;
		void *more = realloc(iotlb->entries, room * sizeof(*entry));

		if (!more)
			return -ENOMEM;
		iotlb->entries = more;
		iotlb->room = room;
	}
	memmove(iotlb->entries + at + 1, iotlb->entries + at, (iotlb->count - at) * sizeof(*entry));
	iotlb->entries[at] = *entry;
	iotlb->count++;
	return 0;
}

/* Every entry that touches the range goes whole; `last` may be before `iova` (size 0). */
static void tree_remove(struct vdpa_file *file, struct iotlb *iotlb, uint64_t iova, uint64_t last)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < iotlb->count; i++) {
		const struct iotlb_entry *entry = &iotlb->entries[i];

		if (entry->iova > last || entry->last < iova)
			iotlb->entries[kept++] = *entry;
		else
			space_drop(file->owner->memory, entry->resolved);
	}
	iotlb->count = kept;
}

static int device_add(struct device *device, unsigned asid, struct iotlb_entry *entry)
{
	int r = device_dma_map_resolved(device, asid, entry->iova, entry->last - entry->iova + 1,
					entry->uaddr, entry->perm, entry->resolved);

	if (r == 0)
		entry->resolved = NULL; /* the device's now */
	return r;
}

/* Gives the device all of a wiped space again. */
static int restore(struct vdpa_file *file, struct device *device, unsigned asid)
{
	struct iotlb *iotlb = &file->iotlbs[asid];
	int r = 0;

	device_dma_batch(device, true);
	device_dma_unmap(device, asid, 0, 0);
	for (unsigned i = 0; i < iotlb->count && !r; i++)
		r = device_add(device, asid, &iotlb->entries[i]);
	device_dma_batch(device, false);
	iotlb->wiped = r != 0;
	return r;
}

void iotlb_wipe(struct vdpa_file *file)
{
	struct device *device = file->device;

	if (file->in_batch)
		device_dma_batch(device, false);
	for (unsigned asid = 0; asid < DEVICE_MAX_ASIDS; asid++) {
		if (!file->iotlbs[asid].created)
			continue;
		device_dma_unmap(device, asid, 0, 0);
		file->iotlbs[asid].wiped = true;
	}
}

void iotlb_free(struct vdpa_file *file)
{
	for (unsigned asid = 0; asid < DEVICE_MAX_ASIDS; asid++)
		free(file->iotlbs[asid].entries);
}

static struct iotlb_entry entry_of(const struct vhost_iotlb_msg *msg, struct pieces *resolved)
{
	return (struct iotlb_entry){.iova = msg->iova,
				    .last = msg->iova + msg->size - 1,
				    .uaddr = msg->uaddr,
				    .perm = msg->perm,
				    .resolved = resolved};
}

/* The client's range may not wrap either: there is no VMA up there (vhost_vdpa_va_map). */
static bool is_possible(const struct vhost_iotlb_msg *msg)
{
	return msg->iova + msg->size - 1 >= msg->iova && msg->uaddr + msg->size - 1 >= msg->uaddr;
}

/* Takes `resolved` over. */
static int update(struct vdpa_file *file, struct device *device, unsigned asid,
		  const struct vhost_iotlb_msg *msg, struct pieces *resolved)
{
	struct iotlb *iotlb = &file->iotlbs[asid];
	struct iotlb_entry entry = entry_of(msg, resolved);
	int r = is_possible(msg) ? tree_add(iotlb, &entry) : -EINVAL;

	if (r) {
		space_drop(file->owner->memory, resolved);
		return r;
	}
	if (!iotlb->wiped)
		r = device_add(device, asid, &iotlb->entries[lower(iotlb, entry.iova)]);
	else if (!file->in_batch)
		r = restore(file, device, asid);
	if (r)
		tree_remove(file, iotlb, entry.iova, entry.last);
	return r;
}

/* Failures to tell the device are not the client's: as in the kernel, the message succeeds. */
static int invalidate(struct vdpa_file *file, struct device *device, unsigned asid,
		      const struct vhost_iotlb_msg *msg)
{
	struct iotlb *iotlb = &file->iotlbs[asid];

	tree_remove(file, iotlb, msg->iova, msg->iova + msg->size - 1);
	if (!iotlb->wiped)
		device_dma_unmap(device, asid, msg->iova, msg->size);
	else if (!file->in_batch)
		restore(file, device, asid);
	return 0;
}

static int batch_begin(struct vdpa_file *file, struct device *device, unsigned asid)
{
	if (!file->in_batch)
		device_dma_batch(device, true);
	file->in_batch = true;
	file->batch_asid = asid;
	return 0;
}

static int batch_end(struct vdpa_file *file, struct device *device, unsigned asid)
{
	if (!file->in_batch)
		return 0;
	file->in_batch = false;
	device_dma_batch(device, false);
	if (file->iotlbs[asid].wiped)
		restore(file, device, asid);
	return 0;
}

/* Whether a message makes the device get all of a wiped space again. */
static bool restores(const struct vdpa_file *file, uint32_t asid, uint32_t type)
{
	if (!file->iotlbs[asid].wiped)
		return false;
	return file->in_batch ? type == VHOST_IOTLB_BATCH_END
			      : type == VHOST_IOTLB_UPDATE || type == VHOST_IOTLB_INVALIDATE;
}

/* Without a lock: finds out how the memory is reached that process() is going to give the device.
 */
static struct pieces *resolve(struct vdpa_file *file, uint32_t asid,
			      const struct vhost_iotlb_msg *msg)
{
	struct client_memory *memory = file->owner->memory;
	struct iotlb *iotlb;

	if (restores(file, asid, msg->type)) {
		iotlb = &file->iotlbs[asid];
		for (unsigned i = 0; i < iotlb->count; i++) {
			struct iotlb_entry *entry = &iotlb->entries[i];

			entry->resolved = space_resolve(memory, entry->uaddr,
							entry->last - entry->iova + 1, entry->perm);
		}
	}
	if (msg->type != VHOST_IOTLB_UPDATE || !is_possible(msg))
		return NULL;
	return space_resolve(memory, msg->uaddr, msg->size, msg->perm);
}

/* What the device did not take. */
static void forget_resolved(struct vdpa_file *file, uint32_t asid)
{
	struct iotlb *iotlb = &file->iotlbs[asid];

	for (unsigned i = 0; i < iotlb->count; i++) {
		space_drop(file->owner->memory, iotlb->entries[i].resolved);
		iotlb->entries[i].resolved = NULL;
	}
}

/* Runtime locked. Takes `resolved` over. Any error is EFAULT to the client. */
static int process(struct vdpa_file *file, struct device *device, uint32_t asid,
		   const struct vhost_iotlb_msg *msg, struct pieces *resolved)
{
	if (msg->type == VHOST_IOTLB_UPDATE || msg->type == VHOST_IOTLB_BATCH_BEGIN)
		file->iotlbs[asid].created = true;
	if (!file->iotlbs[asid].created || (file->in_batch && file->batch_asid != asid)) {
		space_drop(file->owner->memory, resolved);
		return -EINVAL;
	}
	switch (msg->type) {
	case VHOST_IOTLB_UPDATE:
		return update(file, device, asid, msg, resolved);
	case VHOST_IOTLB_INVALIDATE:
		return invalidate(file, device, asid, msg);
	case VHOST_IOTLB_BATCH_BEGIN:
		return batch_begin(file, device, asid);
	case VHOST_IOTLB_BATCH_END:
		return batch_end(file, device, asid);
	default:
		return -EINVAL;
	}
}

ssize_t vdpa_file_write(struct vdpa_file *file, struct caller *caller, const void *message,
			size_t size)
{
	struct vhost_msg_v2 m = {0};
	struct pieces *resolved;
	uint32_t asid;
	int r;

	/* The field sits at the same place in both layouts; of v1's type only 32 bits are read. */
	if (size < MESSAGE_LEAST)
		return -EINVAL;
	memcpy(&m, message, MESSAGE_LEAST);
	if (m.type != VHOST_IOTLB_MSG && m.type != VHOST_IOTLB_MSG_V2)
		return -EINVAL;
	if (m.iotlb.type == VHOST_IOTLB_UPDATE && !m.iotlb.size)
		return -EINVAL; /* before ownership is looked at */
	if (!file->owner || !file->owner->ops->is(file->owner, caller))
		return -EFAULT;
	asid = m.type == VHOST_IOTLB_MSG_V2 &&
			       (file->backend_features & (1ull << VHOST_BACKEND_F_IOTLB_ASID))
		       ? m.asid
		       : 0;
	if (asid >= device_get_asid_count(file->device))
		return -EFAULT;
	resolved = resolve(file, asid, &m.iotlb);
	r = process(file, runtime_lock(file->runtime), asid, &m.iotlb, resolved);
	runtime_unlock(file->runtime);
	forget_resolved(file, asid);
	return r ? -EFAULT : (ssize_t)MESSAGE_SIZE;
}
