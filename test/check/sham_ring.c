/* The sham's thread: rings, requests, calls (virtio 2.7 and 5.2.6, the slow way). */
#include "sham.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>

static uint16_t load16(struct sham *s, uint64_t iova)
{
	uint16_t *p = sham_at(s, iova, 2, 1);

	return p ? __atomic_load_n(p, __ATOMIC_ACQUIRE) : 0;
}

static bool event_idx(const struct sham *s)
{
	return s->features >> VIRTIO_RING_F_EVENT_IDX & 1;
}

static uint64_t used_event_at(const struct sham_queue *q)
{
	return q->avail + 4 + 2 * (uint64_t)q->num;
}

static uint64_t avail_event_at(const struct sham_queue *q)
{
	return q->used + 4 + 8 * (uint64_t)q->num;
}

static void ring_fd(int fd)
{
	uint64_t one = 1;

	if (fd >= 0 && write(fd, &one, sizeof(one)) < 0)
		return; /* full: it is signalled all the same */
}

static void nap(unsigned microseconds)
{
	struct timespec t = {0, (long)microseconds * 1000};

	nanosleep(&t, NULL);
}

/* virtio 2.7.7, 2.7.10: does the driver want to hear of what was published since the last time? */
void sham_call(struct sham *s, struct sham_queue *q)
{
	uint16_t now = q->used_idx, old = q->announced;

	q->announced = now;
	if (now == old || s->muted)
		return;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (sham_is_packed(s)) {
		if (!sham_packed_wants_call(s, q, old))
			return;
	} else if (event_idx(s)) {
		uint16_t event = load16(s, used_event_at(q));

		if ((uint16_t)(now - event - 1) >= (uint16_t)(now - old))
			return;
	} else if (load16(s, q->avail) & VRING_AVAIL_F_NO_INTERRUPT) {
		return;
	}
	ring_fd(q->call);
}

void sham_start_queue(struct sham *s, unsigned index)
{
	struct sham_queue *q = &s->queues[index];

	q->used_idx = q->announced = q->last_avail;
	q->broken = false;
	q->restored = (q->last_avail & 0x7fff) != 0;
}

bool sham_add_buffer(struct sham *s, struct sham_request *r, uint64_t addr, uint32_t len,
		     bool write, unsigned *seen)
{
	if (!sham_at(s, addr, len, write && !sham_is(s, SHAM_WRITES_READ_ONLY) ? 2 : 1))
		return false;
	if (*seen == 0) {
		const struct virtio_blk_outhdr *h = sham_at(s, addr, 16, 1);

		if (write || len != 16 || !h)
			return false;
		r->type = h->type;
		r->sector = h->sector;
	} else if (r->count == 20) {
		return false;
	} else {
		r->data[r->count].iova = addr;
		r->data[r->count++].len = len;
		r->status = write ? addr + len - 1 : 0;
	}
	++*seen;
	return true;
}

/* Walks a chain, through an indirect table if it begins with one. */
static bool walk(struct sham *s, struct sham_queue *q, uint16_t head, struct sham_request *r)
{
	uint64_t table = q->desc;
	uint32_t at = head, size = q->num;
	unsigned seen = 0, steps = 0;

	memset(r, 0, sizeof(*r));
	r->head = head;
	while (at < size && steps++ < size) {
		const struct vring_desc *d = sham_at(s, table + 16 * (uint64_t)at, 16, 1);

		if (!d)
			return false;
		if (d->flags & VRING_DESC_F_INDIRECT) {
			if (table != q->desc || d->len % 16 || d->len / 16 > 64)
				return false;
			table = d->addr;
			r->table = d->addr;
			size = d->len / 16;
			at = 0;
			steps = 0;
			continue;
		}
		if (!sham_add_buffer(s, r, d->addr, d->len, d->flags & VRING_DESC_F_WRITE, &seen))
			return false;
		if (!(d->flags & VRING_DESC_F_NEXT))
			return r->status != 0;
		at = d->next;
	}
	return false;
}

static unsigned take_packed(struct sham *s, struct sham_queue *q, struct sham_request *batch,
			    unsigned most)
{
	unsigned n = 0;

	while (n < most && !q->broken && sham_packed_shown(s, q)) {
		q->broken = !sham_packed_take(s, q, &batch[n]);
		n += !q->broken;
	}
	q->in_flight += n;
	return n;
}

/* Takes requests of a queue; under the lock. */
static unsigned take(struct sham *s, struct sham_queue *q, struct sham_request *batch,
		     unsigned most)
{
	uint16_t shown = sham_is_packed(s) ? 0 : load16(s, q->avail + 2);
	unsigned n = 0;

	if (sham_is_packed(s))
		return take_packed(s, q, batch, most);
	if ((uint16_t)(shown - q->last_avail) > q->num)
		q->broken = true;
	while (n < most && !q->broken && q->last_avail != shown) {
		uint16_t head = load16(s, q->avail + 4 + 2 * (uint64_t)(q->last_avail % q->num));

		if (head >= q->num || !walk(s, q, head, &batch[n])) {
			q->broken = true;
			break;
		}
		q->last_avail++;
		n++;
	}
	q->in_flight += n;
	return n;
}

/* Moves bytes between disk and memory. The last data piece ends before the status byte. */
static uint8_t transfer(struct sham *s, struct sham_request *r)
{
	uint64_t at = r->sector * 512;
	bool in = r->type == VIRTIO_BLK_T_IN;

	for (unsigned i = 0; i < r->count; i++) {
		uint64_t len = r->data[i].len;
		uint8_t *p;

		if (r->data[i].iova + len - 1 == r->status)
			len--;
		if (r->sector > SHAM_SECTORS || at + len > sizeof(s->disk))
			return VIRTIO_BLK_S_IOERR;
		p = sham_at(s, r->data[i].iova, len, 1);
		if (len == 0 || !p)
			continue;
		memcpy(in ? p : s->disk + at, in ? s->disk + at : p, len);
		if (in)
			r->written += (uint32_t)len;
		at += len;
	}
	return VIRTIO_BLK_S_OK;
}

static uint8_t perform(struct sham *s, struct sham_request *r)
{
	uint8_t *p;

	switch (r->type) {
	case VIRTIO_BLK_T_IN:
		s->scribble = r->data[0].iova;
		return transfer(s, r);
	case VIRTIO_BLK_T_OUT:
		return transfer(s, r);
	case VIRTIO_BLK_T_FLUSH:
		return VIRTIO_BLK_S_OK;
	case VIRTIO_BLK_T_GET_ID:
		p = sham_at(s, r->data[0].iova, 20, 2);
		if (p)
			memcpy(p, "sham\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
		r->written = 20;
		return VIRTIO_BLK_S_OK;
	default:
		return VIRTIO_BLK_S_UNSUPP;
	}
}

static void publish(struct sham *s, struct sham_queue *q, const struct sham_request *r)
{
	uint32_t written = r->written + (sham_is(s, SHAM_LENGTH) ? 3 : 1);
	struct vring_used_elem *e;
	uint16_t *idx;

	if (sham_is_packed(s)) {
		sham_packed_publish(s, q, r, written);
		return;
	}
	e = sham_at(s, q->used + 4 + 8 * (uint64_t)(q->used_idx % q->num), 8, 2);
	idx = sham_at(s, q->used + 2, 2, 2);
	if (!e || !idx)
		return;
	e->id = r->head;
	e->len = written;
	__atomic_store_n(idx, (uint16_t)(q->used_idx + 1), __ATOMIC_RELEASE);
	q->used_idx++;
}

/* The bytes and the status of a request; then, or before with SHAM_HALF_DONE, its used entry. */
static void finish(struct sham *s, struct sham_queue *q, struct sham_request *r)
{
	uint8_t status, *p = sham_at(s, r->status, 1, 1);

	if (sham_is(s, SHAM_HALF_DONE)) {
		r->written = 512;
		publish(s, q, r);
		r->written = 0;
		nap(20);
	}
	status = perform(s, r);
	if (p)
		*p = status;
	if (r->table && sham_is(s, SHAM_WRITES_TABLE) && sham_at(s, r->table, 16, 2))
		memset(sham_at(s, r->table, 16, 2), 0x5a, 8);
	if (p && sham_is(s, SHAM_OVERRUNS))
		p[1] = status;
	if (!sham_is(s, SHAM_HALF_DONE))
		publish(s, q, r);
	s->last = *r;
	s->last_queue = (unsigned)(q - s->queues);
}

/* virtio 2.7.10: tells the driver from which index on it wants to be kicked. */
static void arm(struct sham *s, struct sham_queue *q)
{
	uint16_t *event;

	if (sham_is_packed(s)) {
		sham_packed_arm(s, q, event_idx(s));
		return;
	}
	event = sham_at(s, avail_event_at(q), 2, 2);
	if (event_idx(s) && event)
		__atomic_store_n(event, q->last_avail, __ATOMIC_SEQ_CST);
}

static bool has_more(struct sham *s, const struct sham_queue *q)
{
	return sham_is_packed(s) ? sham_packed_shown(s, q)
				 : load16(s, q->avail + 2) != q->last_avail;
}

/*
 * A faulty device that uses what is done first, the last of a batch, though it was told to keep the
 * order; the others take their time.
 */
static bool swaps(const struct sham *s, const struct sham_queue *q)
{
	if (!(s->features >> VIRTIO_F_IN_ORDER & 1))
		return false;
	return sham_is(s, SHAM_SWAPS) || (sham_is(s, SHAM_RESUME_SWAPS) && q->resumed) ||
	       (sham_is(s, SHAM_RESTORE_SWAPS) && q->restored);
}

/* One pass over a queue; under the lock, which it gives up while the backend works. */
static bool pass(struct sham *s, struct sham_queue *q)
{
	struct sham_request batch[SHAM_BATCH];
	unsigned most = s->suspended || sham_is(s, SHAM_HALF_DONE) ? 1 : SHAM_BATCH;
	unsigned n = take(s, q, batch, most);
	bool swapped = n > 1 && swaps(s, q);

	if (n == 0) {
		arm(s, q);
		return has_more(s, q) && !q->broken;
	}
	pthread_mutex_unlock(&s->work);
	nap(150);
	if (sham_is(s, SHAM_NO_WAIT))
		nap(2000);
	pthread_mutex_lock(&s->work);
	for (unsigned i = 0; i < n && q->ready; i++) {
		finish(s, q, &batch[swapped ? n - 1 - i : i]);
		if (!swapped || i)
			continue;
		pthread_mutex_unlock(&s->work);
		nap(300);
		pthread_mutex_lock(&s->work);
	}
	q->in_flight -= n;
	if (sham_is(s, SHAM_CALLS_LATE)) {
		pthread_mutex_unlock(&s->work);
		nap(1500);
		pthread_mutex_lock(&s->work);
	}
	if (!(sham_is(s, SHAM_NO_CALL) && s->suspended))
		sham_call(s, q);
	pthread_cond_broadcast(&s->drained);
	return true;
}

bool sham_runs(const struct sham *s)
{
	return s->status & 4 && (!s->suspended || s->extra > 0);
}

static void run_queues(struct sham *s)
{
	for (unsigned i = 0; i < SHAM_QUEUES; i++) {
		struct sham_queue *q = &s->queues[i];

		while (sham_runs(s) && q->ready && !q->broken && q->num) {
			uint16_t before = q->last_avail;
			bool more = pass(s, q);

			if (s->suspended && s->extra && before != q->last_avail)
				s->extra--;
			if (!more)
				break;
		}
	}
}

void sham_tempted(struct sham *s, unsigned index)
{
	struct sham_queue *q = &s->queues[index];
	uint8_t *p = NULL;

	if (sham_is(s, SHAM_KICK_STARTS))
		s->suspended = false;
	if (sham_is(s, SHAM_WRITES_USED) && sham_is_packed(s))
		p = sham_at(s, q->desc + 8 + 16 * (uint64_t)(q->used_idx & 0x7fff), 4, 2);
	else if (sham_is(s, SHAM_WRITES_USED))
		p = sham_at(s, q->used + 4 + 8 * (uint64_t)(q->used_idx % (q->num ?: 1)), 8, 2);
	if (sham_is(s, SHAM_WRITES_EVENT))
		p = sham_at(s, sham_is_packed(s) ? q->used : avail_event_at(q), 2, 2);
	if (sham_is(s, SHAM_WRITES_FLAGS))
		p = sham_at(s, sham_is_packed(s) ? q->used + 2 : q->used, 2, 2);
	if (sham_is(s, SHAM_WRITES_BUFFER))
		p = sham_at(s, s->scribble, 1, 2);
	if (p)
		++*p;
	if (sham_is(s, SHAM_CALLS_ON_KICK))
		ring_fd(q->call);
	if (sham_is(s, SHAM_CONFIG_CALL))
		ring_fd(s->config_call);
	if (sham_is(s, SHAM_CONFIG_CHANGES))
		s->config[59]++;
}

void sham_wake(struct sham *s)
{
	ring_fd(s->wake);
}

void sham_watch(struct sham *s, unsigned index, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u32 = index};

	/* edges: each write is one, and the counter is never read */
	epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &event);
}

/* Whether the kick eventfd, which is never read, has another count than when it was last asked. */
static bool has_counted(struct sham_queue *q)
{
	unsigned long long count = 0, before = q->counted;
	char path[40], line[80];
	FILE *info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", q->kick);
	info = fopen(path, "re");
	while (info && fgets(line, sizeof(line), info))
		if (sscanf(line, "eventfd-count: %llx", &count) == 1)
			break;
	if (info)
		fclose(info);
	q->counted = count;
	return count != before;
}

/* A kick, or (index SHAM_QUEUES) a control call that wants rings looked at. */
static void hear(struct sham *s, unsigned index)
{
	struct sham_queue *q = &s->queues[index];
	uint64_t count;

	if (index < SHAM_QUEUES && sham_is(s, SHAM_ZERO_ENDS_KICKS) && !has_counted(q))
		q->ready = false; /* woken for nothing: it does not wait for this one again */
	if (index == SHAM_QUEUES) {
		if (read(s->wake, &count, sizeof(count)) < 0)
			return;
	} else if (s->status == 0 && sham_is(s, SHAM_RESET_STILL_WRITES)) {
		ring_fd(q->call);
	} else if (s->suspended && s->status & 4) {
		sham_tempted(s, index);
		q->kicked = true;
	} else if (sham_is(s, SHAM_FORGETS_KICK_BEFORE)) {
		/* a thread that is late to look */
		pthread_mutex_unlock(&s->work);
		nap(300);
		pthread_mutex_lock(&s->work);
	}
}

void *sham_thread(void *arg)
{
	struct sham *s = arg;
	struct epoll_event events[4];

	while (!s->end) {
		int n = epoll_wait(s->epoll, events, 4, -1);

		pthread_mutex_lock(&s->work);
		for (int i = 0; i < n; i++)
			hear(s, events[i].data.u32);
		run_queues(s);
		pthread_mutex_unlock(&s->work);
	}
	return NULL;
}
