/* The tests' own device: see driver_fake.h. */
#include "driver_fake.h"

#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "wire/vhost.h"

#define MAX_CHAIN 256

/* The device's ioctls ------------------------------------------------------------------------ */

static void note(struct fake *f, char letter, unsigned index)
{
	size_t n = strlen(f->order);

	if (n + 3 < sizeof(f->order)) {
		f->order[n] = letter;
		f->order[n + 1] = (char)('0' + index);
		f->order[n + 2] = 0;
	}
}

static void reset(struct fake *f)
{
	memset(f->queues, 0, sizeof(f->queues));
	for (unsigned i = 0; i < FAKE_QUEUES; i++)
		f->queues[i].kick = f->queues[i].call = -1;
	f->status = 0;
	f->suspended = false;
	f->resets++;
}

static int vring_state(struct fake *f, unsigned long cmd, struct vhost_vring_state *s)
{
	struct fake_queue *q;

	if (s->index >= f->vqs)
		return -ENOBUFS;
	q = &f->queues[s->index];
	switch (cmd) {
	case VHOST_SET_VRING_NUM:
		q->num = s->num;
		note(f, 'n', s->index);
		return 0;
	case VHOST_SET_VRING_BASE:
		q->last_avail = (uint16_t)s->num;
		note(f, 'b', s->index);
		return 0;
	case VHOST_GET_VRING_BASE:
		s->num = (uint16_t)(q->last_avail + f->base_skew);
		return 0;
	case VHOST_VDPA_SET_VRING_ENABLE:
		if (s->num && !q->ready)
			q->used_idx = q->last_avail;
		q->ready = s->num != 0;
		note(f, s->num ? 'e' : 'd', s->index);
		return 0;
	case VHOST_VDPA_GET_VRING_SIZE:
		s->num = q->num;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int vring_other(struct fake *f, unsigned long cmd, void *arg)
{
	struct vhost_vring_addr *a = arg;
	struct vhost_vring_file *file = arg;

	if (*(uint32_t *)arg >= f->vqs)
		return -ENOBUFS;
	switch (cmd) {
	case VHOST_SET_VRING_ADDR:
		f->queues[a->index].desc = a->desc_user_addr;
		f->queues[a->index].avail = a->avail_user_addr;
		f->queues[a->index].used = a->used_user_addr;
		note(f, 'a', a->index);
		return 0;
	case VHOST_SET_VRING_KICK:
		f->queues[file->index].kick = file->fd;
		note(f, 'k', file->index);
		return 0;
	case VHOST_SET_VRING_CALL:
		f->queues[file->index].call = file->fd;
		note(f, 'c', file->index);
		return 0;
	case VHOST_SET_VRING_ERR:
		return 0;
	default:
		return vring_state(f, cmd, arg);
	}
}

static int config(struct fake *f, unsigned long cmd, struct vhost_vdpa_config *c)
{
	if (c->len == 0 || c->off > f->config_size || c->len > f->config_size - c->off)
		return -EINVAL;
	if (cmd == VHOST_VDPA_GET_CONFIG)
		memcpy(c->buf, f->config + c->off, c->len);
	else
		memcpy(f->config + c->off, c->buf, c->len);
	return 0;
}

static int set_status(struct fake *f, uint8_t status)
{
	if (status == 0) {
		reset(f);
		return 0;
	}
	if (f->status & ~status)
		return -EINVAL;
	f->status = status & ~f->refuse_status;
	if (status & VIRTIO_CONFIG_S_DRIVER_OK)
		note(f, '!', 0);
	return 0;
}

static int suspend(struct fake *f, bool on)
{
	*(on ? &f->suspends : &f->resumes) += 1;
	if (f->status & VIRTIO_CONFIG_S_DRIVER_OK)
		f->suspended = on;
	return 0;
}

static int set_features(struct fake *f, uint64_t features)
{
	if (f->status & VIRTIO_CONFIG_S_FEATURES_OK)
		return -EBUSY;
	f->features = features & f->offered;
	return 0;
}

static int device_calls(struct fake *f, unsigned long cmd, void *arg)
{
	struct vhost_vdpa_iova_range *range = arg;

	switch (cmd) {
	case VHOST_VDPA_GET_DEVICE_ID:
		*(uint32_t *)arg = f->device_id;
		return 0;
	case VHOST_VDPA_GET_STATUS:
		*(uint8_t *)arg = f->status;
		return 0;
	case VHOST_VDPA_SET_STATUS:
		return set_status(f, *(uint8_t *)arg);
	case VHOST_VDPA_GET_CONFIG:
	case VHOST_VDPA_SET_CONFIG:
		return config(f, cmd, arg);
	case VHOST_VDPA_GET_CONFIG_SIZE:
		*(uint32_t *)arg = f->config_size;
		return 0;
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = f->offered;
		return 0;
	case VHOST_SET_FEATURES:
		return set_features(f, *(uint64_t *)arg);
	case VHOST_GET_BACKEND_FEATURES:
		*(uint64_t *)arg = f->backend_offered;
		return 0;
	case VHOST_SET_BACKEND_FEATURES:
		f->backend = *(uint64_t *)arg;
		return f->backend & ~f->backend_offered ? -EOPNOTSUPP : 0;
	case VHOST_VDPA_GET_VQS_COUNT:
		*(uint32_t *)arg = f->vqs;
		return 0;
	case VHOST_VDPA_GET_IOVA_RANGE:
		range->first = f->iova_first;
		range->last = f->iova_last;
		return 0;
	case VHOST_VDPA_SUSPEND:
		return suspend(f, true);
	case VHOST_VDPA_RESUME:
		return suspend(f, false);
	case VHOST_VDPA_SUSPEND_V6:
		return suspend(f, *(int *)arg != 0);
	case VHOST_SET_OWNER:
		if (f->owned)
			return -EBUSY;
		f->owned = true;
		return 0;
	default:
		return 1;
	}
}

static int do_ioctl(struct fake *f, unsigned long cmd, void *arg)
{
	int r;

	if (cmd == f->fail_cmd && f->fail_error)
		return f->fail_error;
	r = device_calls(f, cmd, arg);
	if (r <= 0)
		return r;
	if (!f->owned)
		return -EPERM;
	return arg ? vring_other(f, cmd, arg) : -EFAULT;
}

static int fake_ioctl(void *ctx, unsigned long cmd, void *arg)
{
	struct fake *f = ctx;
	int r;

	pthread_mutex_lock(&f->lock);
	r = do_ioctl(f, cmd, arg);
	pthread_mutex_unlock(&f->lock);
	return r;
}

static int update(struct fake *f, uint32_t asid, const struct vhost_iotlb_msg *m)
{
	struct fake_map *map = NULL;

	for (unsigned i = 0; i < FAKE_MAPS; i++) {
		struct fake_map *at = &f->maps[i];

		if (at->size == 0)
			map = map ? map : at;
		else if (at->asid == asid && m->iova < at->iova + at->size &&
			 at->iova < m->iova + m->size)
			return -EFAULT;
	}
	if (!map)
		return -EFAULT;
	*map = (struct fake_map){m->iova, m->size, m->uaddr, asid};
	f->updates++;
	return 0;
}

static ssize_t do_write_message(struct fake *f, const void *buf, size_t len)
{
	const struct vhost_msg_v2 *m = buf;
	const struct vhost_msg *v1 = buf;
	const struct vhost_iotlb_msg *body = m->type == VHOST_IOTLB_MSG ? &v1->iotlb : &m->iotlb;
	uint32_t asid = m->type == VHOST_IOTLB_MSG ? 0 : m->asid;

	if (len < 40 || m->type < 1 || m->type > 2)
		return -EINVAL;
	if (!f->owned)
		return -EFAULT;
	if (body->type == VHOST_IOTLB_UPDATE && update(f, asid, body) < 0)
		return -EFAULT;
	if (body->type == VHOST_IOTLB_INVALIDATE) {
		f->invalidates++;
		for (unsigned i = 0; i < FAKE_MAPS; i++)
			if (f->maps[i].asid == asid && f->maps[i].iova == body->iova)
				f->maps[i].size = 0;
	}
	return f->short_write ? 40 : 72;
}

static ssize_t fake_write(void *ctx, const void *buf, size_t len)
{
	struct fake *f = ctx;
	ssize_t n;

	pthread_mutex_lock(&f->lock);
	n = do_write_message(f, buf, len);
	pthread_mutex_unlock(&f->lock);
	return n;
}

static void fake_close(void *ctx)
{
	struct fake *f = ctx;

	pthread_mutex_lock(&f->lock);
	reset(f);
	memset(f->maps, 0, sizeof(f->maps));
	f->owned = f->open = false;
	pthread_mutex_unlock(&f->lock);
}

const struct uvdpa_transport fake_transport = {fake_ioctl, fake_write, fake_close};

/* Life --------------------------------------------------------------------------------------- */

void fake_init(struct fake *f, uint64_t sectors)
{
	struct virtio_blk_config *c = (void *)f->config;

	memset(f, 0, sizeof(*f));
	f->offered = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_ACCESS_PLATFORM |
		     1ull << VIRTIO_RING_F_EVENT_IDX | 1ull << VIRTIO_RING_F_INDIRECT_DESC |
		     1ull << VIRTIO_BLK_F_FLUSH | 1ull << VIRTIO_BLK_F_BLK_SIZE |
		     1ull << VIRTIO_BLK_F_SEG_MAX | 1ull << VIRTIO_BLK_F_WRITE_ZEROES;
	f->backend_offered = 0x17e;
	f->iova_last = UINT64_MAX;
	f->device_id = VIRTIO_ID_BLOCK;
	f->vqs = FAKE_QUEUES;
	f->config_size = 60;
	f->sectors = sectors;
	f->disk = calloc(sectors, 512);
	c->capacity = sectors;
	c->seg_max = 32;
	c->blk_size = 4096;
	c->max_write_zeroes_sectors = 64;
	c->max_write_zeroes_seg = 1;
	reset(f);
	f->resets = 0;
	f->again = -1;
	f->random = 1;
	pthread_mutex_init(&f->lock, NULL);
}

void fake_done(struct fake *f)
{
	free(f->disk);
	pthread_mutex_destroy(&f->lock);
}

struct uvdpa_driver *fake_open(struct fake *f)
{
	struct uvdpa_driver *drv = NULL;
	struct uvdpa_error error = {0};

	if (uvdpa_driver_open_transport(&fake_transport, f, "fake", 0, &drv, &error) < 0)
		fail_msg("%s", error.text);
	return drv;
}

void *fake_at(struct fake *f, uint64_t iova, uint64_t len)
{
	for (unsigned i = 0; i < FAKE_MAPS; i++) {
		const struct fake_map *m = &f->maps[i];

		if (m->size && iova >= m->iova && iova + len <= m->iova + m->size)
			return (void *)(uintptr_t)(m->uaddr + (iova - m->iova));
	}
	return NULL;
}

/* The ring ----------------------------------------------------------------------------------- */

struct piece {
	unsigned char *at;
	uint32_t len;
	bool writable;
};

static unsigned walk(struct fake *f, const struct fake_queue *q, uint16_t head, struct piece *out)
{
	const struct vring_desc *table = fake_at(f, q->desc, q->num * 16ull);
	unsigned n = 0;
	uint16_t i = head;

	if (table[i].flags & VRING_DESC_F_INDIRECT) {
		table = fake_at(f, table[i].addr, table[i].len);
		i = 0;
	}
	for (;;) {
		assert_true(n < MAX_CHAIN);
		out[n].at = fake_at(f, table[i].addr, table[i].len);
		out[n].len = table[i].len;
		out[n].writable = table[i].flags & VRING_DESC_F_WRITE;
		assert_non_null(out[n].at);
		n++;
		if (!(table[i].flags & VRING_DESC_F_NEXT))
			return n;
		i = table[i].next;
	}
}

/* Whether the sin asked for is this one, and if so, clears it. */
static bool sins(struct fake *f, enum fake_sin sin)
{
	if (f->sin != sin)
		return false;
	f->sin = FAKE_GOOD;
	return true;
}

static void do_write(struct fake *f, uint64_t sector, const struct piece *p)
{
	unsigned char *to = f->disk + sector * 512;

	if (f->sin == FAKE_REPEAT_WRITE) {
		if (f->old_len && f->old_sector == sector) {
			f->sin = FAKE_GOOD; /* the older one again: it stays */
			memcpy(to, f->old_block, f->old_len);
			return;
		}
		if (!f->old_len && p->len <= sizeof(f->old_block)) {
			f->old_len = p->len;
			f->old_sector = sector;
			memcpy(f->old_block, p->at, p->len);
		}
	}
	if (sins(f, FAKE_DROP_WRITE))
		return;
	memcpy(to, p->at, sins(f, FAKE_TEAR) ? p->len / 2 : p->len);
}

static void do_read(struct fake *f, uint64_t sector, const struct piece *p)
{
	if (sins(f, FAKE_NO_DATA))
		return;
	if (sins(f, FAKE_MISDIRECT))
		sector = sector >= p->len / 512 ? sector - p->len / 512 : sector + p->len / 512;
	memcpy(p->at, f->disk + sector * 512, p->len);
	if (sins(f, FAKE_FLIP_BIT))
		p->at[p->len - 5] ^= 0x10;
}

/* Serves one chain; returns the bytes written. */
static uint32_t request(struct fake *f, const struct piece *p, unsigned n)
{
	const struct virtio_blk_outhdr *h = (const void *)p[0].at;
	uint64_t sector = h->sector;
	uint32_t written = 1;
	unsigned char status = VIRTIO_BLK_S_OK;

	for (unsigned i = 1; i + 1 < n; i++) {
		if (h->type == VIRTIO_BLK_T_GET_ID) {
			strncpy((char *)p[i].at, "fake", p[i].len);
			written += p[i].len;
		} else if (h->type > VIRTIO_BLK_T_OUT) {
			continue;
		} else if (sector + p[i].len / 512 > f->sectors) {
			status = VIRTIO_BLK_S_IOERR;
		} else if (h->type == VIRTIO_BLK_T_OUT) {
			do_write(f, sector, &p[i]);
		} else {
			do_read(f, sector, &p[i]);
			written += p[i].len;
		}
		sector += p[i].len / 512;
	}
	if (h->type > VIRTIO_BLK_T_WRITE_ZEROES)
		status = VIRTIO_BLK_S_UNSUPP;
	p[n - 1].at[0] = sins(f, FAKE_IOERR) ? VIRTIO_BLK_S_IOERR : status;
	return written;
}

static void put_used(struct fake *f, struct fake_queue *q, uint16_t head, uint32_t written)
{
	struct vring_used *used = fake_at(f, q->used, 6 + 8ull * q->num);

	used->ring[q->used_idx % q->num] = (struct vring_used_elem){head, written};
	q->used_idx++;
	__atomic_store_n(&used->idx, q->used_idx, __ATOMIC_RELEASE);
}

/* Changes the order of `n` words, if the device does such things. */
static void shuffle(struct fake *f, uint32_t *words, unsigned n)
{
	for (unsigned i = n; f->shuffle && i > 1; i--) {
		uint32_t t = words[i - 1], other;

		f->random = f->random * 1664525 + 1013904223;
		other = (f->random >> 8) % i;
		words[i - 1] = words[other];
		words[other] = t;
	}
}

/* Serves one request; the word is its head and, above, the bytes written; or UINT32_MAX: lost. */
static uint32_t serve_one(struct fake *f, struct fake_queue *q, uint16_t head)
{
	struct piece pieces[MAX_CHAIN];
	unsigned n = walk(f, q, head, pieces);

	if (sins(f, FAKE_LOSE))
		return UINT32_MAX;
	if (sins(f, FAKE_COMPLETE_AGAIN))
		f->again = head;
	return head | request(f, pieces, n) << 8;
}

/* One batch: everything is served, then everything completed. */
static unsigned serve_batch(struct fake *f, struct fake_queue *q, unsigned max)
{
	struct vring_avail *avail = fake_at(f, q->avail, 6 + 2ull * q->num);
	uint32_t words[256];
	unsigned n = 0;

	assert_non_null(avail);
	assert_true(q->num <= 256);
	max = max < 256 ? max : 256;
	while (n < max && q->last_avail != __atomic_load_n(&avail->idx, __ATOMIC_ACQUIRE)) {
		words[n] = avail->ring[q->last_avail % q->num];
		if (f->again == (int)words[n]) {
			/* its former user is done again now, and itself another time */
			f->again = -1;
			put_used(f, q, (uint16_t)words[n], 1);
			break;
		}
		q->last_avail++;
		n++;
	}
	shuffle(f, words, n);
	for (unsigned i = 0; i < n; i++)
		words[i] = serve_one(f, q, (uint16_t)words[i]);
	shuffle(f, words, n);
	for (unsigned i = 0; i < n; i++) {
		if (words[i] == UINT32_MAX)
			continue;
		put_used(f, q, words[i] & 0xff, words[i] >> 8);
		if (sins(f, FAKE_COMPLETE_TWICE))
			put_used(f, q, words[i] & 0xff, 1);
	}
	return n;
}

unsigned fake_serve(struct fake *f, unsigned index, unsigned max)
{
	struct fake_queue *q = &f->queues[index];
	uint64_t one = 1;
	unsigned served = 0;

	pthread_mutex_lock(&f->lock);
	if (f->status & VIRTIO_CONFIG_S_DRIVER_OK && !f->suspended && q->ready)
		served = serve_batch(f, q, max);
	f->served += served;
	if (served && q->call >= 0)
		assert_int_equal(write(q->call, &one, sizeof(one)), sizeof(one));
	pthread_mutex_unlock(&f->lock);
	return served;
}
