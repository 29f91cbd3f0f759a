/* How a rig's rings look, for a finding: where both sides stand, and the entries around that. */
#include <stdarg.h>
#include <stdio.h>

#include "check/rig.h"
#include "wire/vhost.h"

#include <linux/virtio_ring.h>

struct text {
	char *to;
	size_t size, used;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	if (t->used >= t->size)
		return;
	va_start(args, format);
	n = vsnprintf(t->to + t->used, t->size - t->used, format, args);
	va_end(args);
	t->used += n > 0 ? (size_t)n : 0;
}

/* The last entries of both rings: what was posted, and what came back. */
static void show_split(struct text *t, const struct uvdpa_queue *q)
{
	struct uvdpa_queue_areas a;
	uint16_t avail, used, size = uvdpa_queue_size(q);

	uvdpa_queue_areas(q, &a);
	avail = ((const struct vring_avail *)a.avail)->idx;
	used = ((const struct vring_used *)a.used)->idx;
	add(t, "split, %u entries: available index %u, used index %u, used flags 0x%x\n", size,
	    avail, used, ((const struct vring_used *)a.used)->flags);
	for (uint16_t i = (uint16_t)(avail - 2); i != avail; i++) {
		uint16_t head = uvdpa_queue_avail_entry(q, i);
		struct uvdpa_descriptor d;

		uvdpa_queue_descriptor(q, head, &d);
		add(t, "  available %u: head %u {0x%llx, %u bytes, flags 0x%x, next %u}\n", i, head,
		    (unsigned long long)d.addr, d.len, d.flags, d.next);
	}
	for (uint16_t i = (uint16_t)(used - 2); i != used; i++) {
		uint32_t id, len;

		uvdpa_queue_used_entry(q, i, &id, &len);
		add(t, "  used %u: id %u, %u bytes\n", i, id, len);
	}
}

/* The descriptors around the place where the next is going to be used. */
static void show_packed(struct text *t, const struct uvdpa_queue *q)
{
	uint32_t at = uvdpa_queue_base(q);
	uint16_t size = uvdpa_queue_size(q), slot = at & 0x7fff;

	add(t, "packed, %u entries: next used 0x%x\n", size, at & 0xffff);
	for (unsigned i = 0; i < 4; i++) {
		struct uvdpa_descriptor d;
		unsigned n = (slot + size - 1u + i) % size;

		uvdpa_queue_descriptor(q, (uint16_t)n, &d);
		add(t, "  descriptor %u: {0x%llx, %u bytes, id %u, flags 0x%x}\n", n,
		    (unsigned long long)d.addr, d.len, d.next, d.flags);
	}
}

/* Of the rig that was set up last. Queues live as long as the case's process, rigs do not. */
static const struct uvdpa_queue *queues[RIG_MAX_QUEUES];
static bool packed;

void rings_remember(const struct rig *rig)
{
	for (unsigned i = 0; i < RIG_MAX_QUEUES; i++)
		queues[i] = i < rig->queues ? rig->queue[i] : NULL;
	packed = rig->packed;
}

void rings_show(char *text, size_t size)
{
	struct text t = {text, size, 0};

	text[0] = 0;
	for (unsigned i = 0; i < RIG_MAX_QUEUES && queues[i]; i++) {
		add(&t, "queue %u, ", i);
		if (packed)
			show_packed(&t, queues[i]);
		else
			show_split(&t, queues[i]);
	}
}
