/*
 * The record of requests in flight: its file is made here (GET_INFLIGHT_FD), kept by the front end,
 * and comes back with SET_INFLIGHT_FD, in this life or after a crash. What it holds is ring/'s.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/inflight.h"

static int check(struct vu_client *client, const struct vhost_user_inflight *in)
{
	if (!in->queues || in->queues > client->ring_count || !in->queue_size ||
	    in->queue_size > device_get_vq_num_max(client->export->device))
		return error_set(&client->err, -EINVAL,
				 "a record of %u queues with %u entries; the device has %u with %u",
				 in->queues, in->queue_size, client->ring_count,
				 device_get_vq_num_max(client->export->device));
	return 0;
}

/* The layout is that of the rings: front ends say which with SET_FEATURES before (QEMU does). */
static bool is_packed(const struct vu_client *client)
{
	return client->features & BIT(VIRTIO_F_RING_PACKED);
}

static size_t record_size(bool packed, uint16_t num)
{
	return packed ? inflight_packed_size(num) : inflight_size(num);
}

static void record_clear(bool packed, void *record, uint16_t num)
{
	if (packed)
		inflight_packed_clear(record, num);
	else
		inflight_clear(record, num);
}

/* A file of empty records. Returns its descriptor or a negative errno. */
static int make_file(const struct vhost_user_inflight *in, bool packed)
{
	size_t each = record_size(packed, in->queue_size);
	struct inflight_record *record = calloc(1, each);
	int fd = memfd_create("uvdpa-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING), r = 0;

	if (!record || fd < 0) {
		r = -ENOMEM;
		goto fail;
	}
	record_clear(packed, record, in->queue_size);
	for (unsigned i = 0; i < in->queues; i++)
		if (pwrite(fd, record, each, (off_t)(i * each)) != (ssize_t)each) {
			r = -ENOMEM;
			goto fail;
		}
	/* Nobody can take it away under us, then. */
	fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
	free(record);
	return fd;
fail:
	free(record);
	if (fd >= 0)
		close(fd);
	return r;
}

int vu_get_inflight_fd(struct vu_client *client, struct vu_message *message)
{
	struct vhost_user_inflight *in = &message->payload.inflight;
	int r = check(client, in), fd;

	if (r < 0)
		return r;
	fd = make_file(in, is_packed(client));
	if (fd < 0)
		return error_set(&client->err, fd,
				 "no memory for the record of requests in flight");
	in->mmap_size = in->queues * record_size(is_packed(client), in->queue_size);
	in->mmap_offset = 0;
	message->fds[0] = fd;
	message->fd_count = 1;
	return 0;
}

/* A front end may bring memory of its own that nobody has touched: then it starts empty. */
static int adopt(struct vu_client *client, const struct client_map *shared,
		 const struct vhost_user_inflight *in)
{
	for (unsigned i = 0; i < in->queues; i++) {
		struct inflight_record *record =
			(void *)(shared->at + i * record_size(is_packed(client), in->queue_size));

		if (!record->version)
			record_clear(is_packed(client), record, in->queue_size);
		if (!inflight_fits(record, in->queue_size))
			return error_set(&client->err, -EINVAL,
					 "the record of queue %u has version %u and %u entries", i,
					 record->version, record->desc_num);
	}
	return 0;
}

/* The memory that is in use already: a front end that starts again what could not be stopped. */
static bool is_the_same(const struct vu_client *client, int fd,
			const struct vhost_user_inflight *in)
{
	struct stat st;

	return client->inflight.at && client_map_allowed(fd) == 0 && fstat(fd, &st) == 0 &&
	       st.st_dev == client->inflight_dev && st.st_ino == client->inflight_ino &&
	       in->mmap_offset == client->inflight_offset &&
	       in->queues == client->inflight_queues && in->queue_size == client->inflight_size;
}

int vu_set_inflight_fd(struct vu_client *client, struct vu_message *message)
{
	const struct vhost_user_inflight *in = &message->payload.inflight;
	struct client_map shared = {0};
	int r = check(client, in);
	struct stat st = {0};

	if (r < 0 || (vu_rings_any_started(client) && is_the_same(client, message->fds[0], in)))
		return r;
	if (vu_rings_any_started(client))
		return error_set(&client->err, -EBUSY, "SET_INFLIGHT_FD while rings are started");
	if (in->mmap_offset % INFLIGHT_ALIGNMENT ||
	    in->mmap_size < in->queues * record_size(is_packed(client), in->queue_size))
		return error_set(&client->err, -EINVAL, "SET_INFLIGHT_FD of 0x%llx bytes at 0x%llx",
				 (unsigned long long)in->mmap_size,
				 (unsigned long long)in->mmap_offset);
	r = client_map_promised(&shared, vu_memory_maps(client->memory), message->fds[0],
				in->mmap_offset, in->mmap_size, "the record of requests",
				&client->err);
	if (r == 0)
		r = adopt(client, &shared, in);
	if (r < 0) {
		client_unmap(&shared);
		return r;
	}
	for (unsigned i = 0; i < client->ring_count; i++)
		device_set_vq_record(client->export->device, i, NULL);
	client_unmap(&client->inflight);
	client->inflight = shared;
	client->inflight_queues = in->queues;
	client->inflight_size = in->queue_size;
	client->inflight_packed = is_packed(client);
	fstat(message->fds[0], &st);
	client->inflight_dev = st.st_dev;
	client->inflight_ino = st.st_ino;
	client->inflight_offset = in->mmap_offset;
	return 0;
}

static void *record_at(const struct vu_client *client, unsigned index)
{
	return client->inflight.at +
	       index * record_size(client->inflight_packed, client->inflight_size);
}

int vu_inflight_attach(struct vu_client *client, unsigned index)
{
	struct vu_ring *ring = &client->rings[index];

	if (!client->inflight.at || index >= client->inflight_queues)
		return 0;
	/* firmware takes a part of what the front end made the record for (SeaBIOS: 256 entries) */
	if (ring->num > client->inflight_size)
		return error_set(&client->err, -EINVAL,
				 "ring %u has %u entries, the record of its requests %u", index,
				 ring->num, client->inflight_size);
	if (client->inflight_packed != is_packed(client))
		return error_set(&client->err, -EINVAL,
				 "ring %u is %s, the record of its requests is not", index,
				 is_packed(client) ? "packed" : "split");
	return device_set_vq_record(client->export->device, index, record_at(client, index));
}

void vu_inflight_forget(struct vu_client *client, unsigned index)
{
	if (client->inflight.at && index < client->inflight_queues)
		record_clear(client->inflight_packed, record_at(client, index),
			     client->inflight_size);
}

/* After a reset the driver has forgotten its requests: so does the record. */
void vu_inflight_reset(struct vu_client *client)
{
	for (unsigned i = 0; i < client->inflight_queues; i++)
		vu_inflight_forget(client, i);
}
