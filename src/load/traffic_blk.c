/* Traffic of a disk: see traffic.h. */
#include "load/traffic_internal.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>
#include <string.h>

#include "load/session.h"

#define SECTOR 512

struct slot {
	int64_t start;
	struct uvdpa_segment data;
};

struct disk {
	struct traffic traffic;
	struct traffic_options o;
	struct uvdpa_blk *blk;
	struct slot *slots;
	uint64_t random, next;
};

static struct disk *disk_of(struct traffic *t)
{
	return (struct disk *)t;
}

/* xorshift: the same seed makes the same choices. */
static uint64_t choose(struct disk *d, uint64_t below)
{
	d->random ^= d->random << 13;
	d->random ^= d->random >> 7;
	d->random ^= d->random << 17;
	/* a multiplication where it will do: a division is most of the cost of a request */
	return below <= UINT32_MAX ? (d->random >> 32) * below >> 32 : d->random % below;
}

uint64_t traffic_memory_size(const struct traffic_options *o)
{
	return (uint64_t)o->depth * ((uint64_t)o->block_size + 64) + 8192;
}

static int get_buffers(struct disk *d, struct load_session *session, struct error *f)
{
	struct uvdpa_error error;
	int r = uvdpa_blk_new(session->memory, d->traffic.queue, d->o.depth, &d->blk, &error);

	if (r < 0)
		return error_set(f, r, "%s", error.text);
	for (unsigned i = 0; i < d->o.depth; i++) {
		void *buf = uvdpa_memory_alloc(session->memory, d->o.block_size, 4096);

		if (!buf)
			return error_set(f, -ENOSPC, "no room for %u buffers of %u", d->o.depth,
					 d->o.block_size);
		d->slots[i].data.iova = uvdpa_memory_iova(session->memory, buf);
		d->slots[i].data.len = d->o.block_size;
	}
	return 0;
}

static void disk_free(struct traffic *t)
{
	struct disk *d = disk_of(t);

	uvdpa_blk_free(d->blk);
	free(d->slots);
	free(d);
}

/* The next request, with the buffer of that number. */
static inline struct uvdpa_blk_request next_request(struct disk *d, unsigned number, int64_t now)
{
	uint64_t block = d->o.sequential ? d->next++ % d->o.blocks : choose(d, d->o.blocks);
	bool write = d->o.write_percent == 100 ||
		     (d->o.write_percent && choose(d, 100) < d->o.write_percent);

	d->slots[number].start = now;
	return (struct uvdpa_blk_request){
		.type = write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN,
		.chain_flags = d->o.chain_flags,
		.sector = block * (d->o.block_size / SECTOR),
		.data = &d->slots[number].data,
		.count = 1,
		.cookie = number,
	};
}

/* There is room for all of them: they are those that came back, or the first. */
static int send(struct disk *d, const struct uvdpa_blk_request *requests, unsigned count)
{
	int r = uvdpa_blk_submit(d->blk, requests, count);

	return r == (int)count ? 0 : r < 0 ? r : -ENOSPC;
}

static int disk_start(struct traffic *t)
{
	struct disk *d = disk_of(t);
	int64_t now = traffic_now();
	int r = 0;

	for (unsigned i = 0; i < d->o.depth && r == 0; i += TRAFFIC_BATCH) {
		struct uvdpa_blk_request requests[TRAFFIC_BATCH];
		unsigned n = 0;

		while (n < TRAFFIC_BATCH && i + n < d->o.depth) {
			requests[n] = next_request(d, i + n, now);
			n++;
		}
		r = send(d, requests, n);
	}
	return r;
}

static int disk_turn(struct traffic *t, bool again)
{
	struct uvdpa_blk_request requests[TRAFFIC_BATCH];
	struct uvdpa_blk_completion c[TRAFFIC_BATCH];
	struct disk *d = disk_of(t);
	int n = uvdpa_blk_poll(d->blk, c, TRAFFIC_BATCH), r = 0;
	int64_t now;

	if (n <= 0)
		return n;
	now = traffic_now();
	for (int i = 0; i < n; i++) {
		histogram_add(&t->latency, (uint64_t)(now - d->slots[c[i].cookie].start));
		t->errors += c[i].status != VIRTIO_BLK_S_OK;
		if (again)
			requests[i] = next_request(d, (unsigned)c[i].cookie, now);
	}
	traffic_note(t, (unsigned)n, now);
	if (again)
		r = send(d, requests, (unsigned)n);
	return r < 0 ? r : n;
}

static unsigned disk_in_flight(const struct traffic *t)
{
	return uvdpa_blk_in_flight(((const struct disk *)t)->blk);
}

static const struct traffic_kind disk_kind = {disk_start, disk_turn, disk_in_flight, disk_free};

int traffic_new(const struct traffic_options *options, struct load_session *session, unsigned queue,
		struct traffic **out, struct error *f)
{
	struct disk *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return error_set(f, -ENOMEM, "out of memory");
	d->traffic.kind = &disk_kind;
	d->traffic.queue = session->queues[queue];
	d->traffic.poll = options->poll;
	d->o = *options;
	d->random = options->seed * 2 + 1;
	d->slots = calloc(options->depth, sizeof(*d->slots));
	r = d->slots ? get_buffers(d, session, f) : error_set(f, -ENOMEM, "out of memory");
	if (r < 0) {
		disk_free(&d->traffic);
		return r;
	}
	uvdpa_queue_want_calls(d->traffic.queue, 0);
	*out = &d->traffic;
	return 0;
}
