/*
 * The dirty log: SET_LOG_BASE brings it; the feature LOG_ALL says that data is to be marked, and
 * each ring's flag that its used ring is. Any of the three can change while rings run.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>

#include "util/log.h"

void vu_log_apply_ring(struct vu_client *client, unsigned index)
{
	const struct vhost_vring_addr *addr = &client->rings[index].addr;
	bool on = client->log.at && addr->flags & (1u << VHOST_VRING_F_LOG);

	device_set_vq_log(client->export->device, index, on ? &client->dirty : NULL,
			  addr->log_guest_addr);
}

void vu_log_apply(struct vu_client *client)
{
	bool all = client->log.at && client->features & BIT(VHOST_F_LOG_ALL);

	device_set_log(client->export->device, all ? &client->dirty : NULL);
	for (unsigned i = 0; i < client->ring_count; i++)
		vu_log_apply_ring(client, i);
}

/* Marks without a bit would be pages that a migration forgets. */
static int check_size(struct vu_client *client, uint64_t size)
{
	uint64_t end = vu_memory_end(client->memory);

	if (size >= (uint64_t)1 << 40 || (end && (end - 1) / DIRTY_PAGE / 8 >= size))
		return error_set(
			&client->err, -EINVAL,
			"a log of 0x%llx bytes does not fit guest memory that ends at 0x%llx",
			(unsigned long long)size, (unsigned long long)end);
	return 0;
}

int vu_set_log_base(struct vu_client *client, struct vu_message *message)
{
	const struct vhost_user_log *log = &message->payload.log;
	struct client_map shared = {0}, old = client->log;
	int r = check_size(client, log->mmap_size);

	if (r == 0)
		r = client_map_promised(&shared, vu_memory_maps(client->memory), message->fds[0],
					log->mmap_offset, log->mmap_size, "the dirty log",
					&client->err);
	if (r < 0)
		return r;
	/* Nobody marks in the old one any more when the device has taken the new. */
	client->log = (struct client_map){0};
	vu_log_apply(client);
	client_unmap(&old);
	client->log = shared;
	client->dirty.bits = (_Atomic uint8_t *)shared.at;
	client->dirty.pages = log->mmap_size * 8;
	vu_log_apply(client);
	message->payload.u64 = 0;
	message->head.size = sizeof(uint64_t);
	vu_message_close(message);
	return 0;
}

void vu_log_report(struct vu_client *client)
{
	uint64_t beyond = atomic_load(&client->dirty.beyond);

	if (beyond)
		log_error(device_name(client->export->device),
			  "%s: %llu writes lie beyond its dirty log", client->name,
			  (unsigned long long)beyond);
}
