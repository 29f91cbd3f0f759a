/* The sham's uAPI: ioctls, IOTLB messages, life (linux: drivers/vhost/vdpa.c tells the order of
 * tests). */
#include "sham.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "wire/vhost.h"

#define BIT(n) (UINT64_C(1) << (n))

#define OFFERED                                                                                   \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ACCESS_PLATFORM) | BIT(VIRTIO_RING_F_EVENT_IDX) | \
	 BIT(VIRTIO_RING_F_INDIRECT_DESC) | BIT(VIRTIO_F_RING_PACKED) | BIT(2) /* SEG_MAX */ |    \
	 BIT(9) /* FLUSH */ | BIT(VIRTIO_F_IN_ORDER))
#define CONFIG_SIZE 60

bool sham_is(const struct sham *s, enum sham_fault err)
{
	return s->err == err;
}

bool sham_is_packed(const struct sham *s)
{
	return s->features >> VIRTIO_F_RING_PACKED & 1;
}

static uint64_t backend_offered(const struct sham *s)
{
	return sham_is(s, SHAM_NOT_OFFERED) ? 0x16e : 0x17e;
}

static struct sham_map *find_map(struct sham *s, uint64_t iova, uint64_t last)
{
	for (unsigned i = 0; i < s->map_count; i++)
		if (s->maps[i].iova <= last && s->maps[i].last >= iova)
			return &s->maps[i];
	return NULL;
}

void *sham_at(struct sham *s, uint64_t iova, uint64_t len, uint8_t perm)
{
	struct sham_map *m = len ? find_map(s, iova, iova) : NULL;
	uint64_t at;

	if (!m || !(m->perm & perm) || iova + len - 1 < iova)
		return NULL;
	at = m->uaddr + (iova - m->iova);
	/* what follows may be in a map of its own, if it is the same memory */
	while (m->last < iova + len - 1) {
		struct sham_map *next = find_map(s, m->last + 1, m->last + 1);

		if (!next || !(next->perm & perm) ||
		    next->uaddr != m->uaddr + (next->iova - m->iova))
			return NULL;
		m = next;
	}
	return (void *)(uintptr_t)at;
}

/* Status ------------------------------------------------------------------------------------- */

void sham_wait_drained(struct sham *s)
{
	bool busy = true;

	while (busy) {
		busy = false;
		for (unsigned i = 0; i < SHAM_QUEUES; i++)
			busy |= s->queues[i].in_flight > 0;
		if (busy)
			pthread_cond_wait(&s->drained, &s->work);
	}
}

static void forget_queue(struct sham *s, struct sham_queue *q)
{
	int kick = q->kick, call = sham_is(s, SHAM_RESET_STILL_WRITES) ? q->call : -1;
	uint16_t base = sham_is(s, SHAM_RESET_KEEPS_BASE) ? q->last_avail : 0;

	memset(q, 0, sizeof(*q));
	q->kick = kick; /* bindings of kicks outlive a reset, those of calls do not */
	q->call = call;
	q->last_avail = base;
}

/* Status 0, with the work lock held. */
static void reset(struct sham *s)
{
	s->status = 0;
	if (sham_is(s, SHAM_RESET_NO_WAIT) && s->queues[0].in_flight)
		return; /* and later forgets nothing either */
	sham_wait_drained(s);
	s->features = 0;
	for (unsigned i = 0; i < SHAM_QUEUES; i++)
		forget_queue(s, &s->queues[i]);
	if (!sham_is(s, SHAM_RESET_KEEPS_SUSPENDED))
		s->suspended = false;
	s->muted = false;
	s->nested = 0;
}

static int set_status(struct sham *s, uint8_t status)
{
	if (status == 0) {
		reset(s);
		return 0;
	}
	if (s->status & ~status && !sham_is(s, SHAM_STATUS_DOWN))
		return -EINVAL;
	if (status & 4 && sham_is(s, SHAM_DRIVER_OK_STARTS) && s->suspended)
		s->suspended = false;
	s->status = status;
	sham_wake(s);
	return 0;
}

/* Suspension --------------------------------------------------------------------------------- */

static int suspend_again(struct sham *s)
{
	s->nested++;
	if (sham_is(s, SHAM_SECOND_FAILS))
		return -EALREADY;
	if (sham_is(s, SHAM_SECOND_TOGGLES)) {
		s->suspended = false;
		sham_wake(s);
	}
	return 0;
}

/* What some faulty devices do to the queues when they suspend. */
static void spoil(struct sham *s)
{
	for (unsigned i = 0; i < SHAM_QUEUES; i++) {
		struct sham_queue *q = &s->queues[i];

		q->kicked = false;
		if (sham_is(s, SHAM_BASE_15_BITS))
			q->last_avail &= 0x7fff;
	}
	if (sham_is(s, SHAM_TAKES_ONE_MORE))
		s->extra = 1;
	if (sham_is(s, SHAM_GOES_ON))
		s->extra = 1000000;
	if (s->extra)
		sham_wake(s);
}

/*
 * SHAM_SECOND_HURRIES is a fault only with somebody else about. With the work lock held nothing in
 * flight finishes: a second caller, who comes within a kind, returns before it does.
 */
static void wait_for_second(struct sham *s)
{
	for (unsigned i = 0; i < 50 && !atomic_load(&s->hurried); i++)
		usleep(1000);
	if (atomic_exchange(&s->hurried, false))
		usleep(3000);
}

/* A kick that the thread has not come to yet. */
static bool sham_is_kicked(struct sham *s)
{
	for (unsigned i = 0; i < SHAM_QUEUES; i++) {
		struct pollfd p = {.fd = s->queues[i].kick, .events = POLLIN};

		if (p.fd >= 0 && poll(&p, 1, 0) == 1)
			return true;
	}
	return false;
}

static int suspend(struct sham *s)
{
	if (!(s->status & 4) && !sham_is(s, SHAM_EARLY))
		return 0;
	if (s->suspended)
		return suspend_again(s);
	if (sham_is(s, SHAM_HANGS))
		for (;;)
			pause();
	if (sham_is(s, SHAM_KICK_FAILS_SUSPEND) && sham_is_kicked(s))
		return -EIO;
	s->suspended = true;
	s->nested = 1;
	if (sham_is(s, SHAM_THIRD_STATE))
		return -ETIMEDOUT;
	if (sham_is(s, SHAM_SECOND_HURRIES))
		wait_for_second(s);
	if (!sham_is(s, SHAM_NO_WAIT))
		sham_wait_drained(s);
	spoil(s);
	return 0;
}

static bool forgets(const struct sham *s, const struct sham_queue *q)
{
	if (sham_is(s, SHAM_FORGETS_KICK_BEFORE))
		return !q->kicked;
	if (sham_is(s, SHAM_LOSES_QUEUED))
		return s->nested > 1;
	if (sham_is(s, SHAM_FORGETS_KICK_DURING))
		return q->kicked;
	if (sham_is(s, SHAM_FORGETS_ENABLE))
		return q->enabled_late;
	return false;
}

/* What some faulty devices do to the queues when they resume. */
static void spoil_resume(struct sham *s, struct sham_queue *q)
{
	if (sham_is(s, SHAM_REPEATS_ONE) && q->used_idx)
		q->last_avail--;
	if (sham_is(s, SHAM_SKIPS_ONE) && q->used_idx)
		q->last_avail++;
	if (sham_is(s, SHAM_RESUME_RESTARTS))
		q->last_avail = q->used_idx = 0;
}

static int resume(struct sham *s)
{
	bool look = false, was = s->suspended;

	if (!(s->status & 4))
		return 0;
	if (sham_is(s, SHAM_NESTS) && s->nested > 1) {
		s->nested--;
		return 0;
	}
	s->suspended = false;
	s->extra = 0;
	s->muted = was && sham_is(s, SHAM_FORGETS_CALLS);
	for (unsigned i = 0; i < SHAM_QUEUES; i++) {
		struct sham_queue *q = &s->queues[i];

		if (was && q->ready)
			spoil_resume(s, q);
		look |= q->ready && !forgets(s, q);
		q->kicked = q->enabled_late = false;
		q->resumed |= was;
	}
	if (look)
		sham_wake(s);
	return 0;
}

/* Config -------------------------------------------------------------------------------------- */

static int config(struct sham *s, struct vhost_vdpa_config *c, bool write)
{
	if (c->len == 0 || c->off > CONFIG_SIZE || c->len > CONFIG_SIZE - c->off)
		return -EINVAL;
	if (s->suspended && sham_is(s, SHAM_NO_CONFIG))
		return -EBUSY;
	if (!write && sham_is(s, SHAM_CONFIG_NO_OFFSET))
		memcpy(c->buf, s->config, c->len);
	else if (!write)
		memcpy(c->buf, s->config + c->off, c->len);
	else if (sham_is(s, SHAM_CONFIG_TAKES_ALL))
		memcpy(s->config + c->off, c->buf, c->len);
	return 0;
}

int sham_check_eventfd(int fd)
{
	char path[40], link[64];
	ssize_t n;

	if (fd == -1)
		return 0;
	if (fcntl(fd, F_GETFD) < 0)
		return -EBADF;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link) - 1);
	link[n > 0 ? n : 0] = 0;
	return strstr(link, "[eventfd]") ? 0 : -EINVAL;
}

void sham_replace_fd(int *to, int fd)
{
	if (*to >= 0)
		close(*to);
	*to = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
}

/* Device calls: no ownership. 1: not one of them. -------------------------------------------- */

static int set_backend(struct sham *s, uint64_t wanted)
{
	if (wanted & ~UINT64_C(0x1fe))
		return -EOPNOTSUPP;
	if (wanted & BIT(7) && !(wanted & BIT(3)))
		return -EINVAL;
	if (wanted & ~backend_offered(s) & ~BIT(6))
		return -EOPNOTSUPP;
	s->backend = wanted;
	return 0;
}

static int set_features(struct sham *s, uint64_t wanted)
{
	if (s->status & 8)
		return -EBUSY;
	if (!(wanted & BIT(VIRTIO_F_ACCESS_PLATFORM)))
		return -EINVAL;
	s->features = wanted & OFFERED;
	for (unsigned i = 0; i < SHAM_QUEUES; i++) /* a virgin packed ring's base */
		if (sham_is_packed(s) && s->queues[i].last_avail == 0)
			s->queues[i].last_avail = s->queues[i].used_idx = 0x8000;
	return 0;
}

static int device_facts(struct sham *s, unsigned long cmd, void *arg)
{
	struct vhost_vdpa_iova_range *range = arg;

	switch (cmd) {
	case VHOST_VDPA_GET_DEVICE_ID:
		*(uint32_t *)arg = VIRTIO_ID_BLOCK;
		return 0;
	case VHOST_VDPA_GET_CONFIG_SIZE:
		*(uint32_t *)arg = CONFIG_SIZE;
		return 0;
	case VHOST_VDPA_GET_VQS_COUNT:
		*(uint32_t *)arg = SHAM_QUEUES;
		return 0;
	case VHOST_VDPA_GET_GROUP_NUM:
	case VHOST_VDPA_GET_AS_NUM:
		*(uint32_t *)arg = 1;
		return 0;
	case VHOST_VDPA_GET_VRING_NUM:
		*(uint16_t *)arg = SHAM_SIZE_MAX;
		return 0;
	case VHOST_VDPA_GET_IOVA_RANGE:
		*range = (struct vhost_vdpa_iova_range){0, UINT64_MAX};
		return 0;
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = OFFERED;
		return 0;
	case VHOST_GET_BACKEND_FEATURES:
		*(uint64_t *)arg = backend_offered(s);
		return 0;
	default:
		return 1;
	}
}

static int device_call(struct sham *s, unsigned long cmd, void *arg)
{
	int r = cmd == VHOST_VDPA_SUSPEND || cmd == VHOST_VDPA_RESUME ? 1
								      : device_facts(s, cmd, arg);

	if (r <= 0)
		return r;
	switch (cmd) {
	case VHOST_VDPA_SUSPEND:
		return suspend(s);
	case VHOST_VDPA_RESUME:
		return resume(s);
	case VHOST_VDPA_GET_STATUS:
		*(uint8_t *)arg =
			s->status | (s->suspended && sham_is(s, SHAM_STATUS_SHOWS) ? 16 : 0);
		return 0;
	case VHOST_VDPA_SET_STATUS:
		return set_status(s, *(uint8_t *)arg);
	case VHOST_VDPA_GET_CONFIG:
		return config(s, arg, false);
	case VHOST_VDPA_SET_CONFIG:
		return config(s, arg, true);
	case VHOST_SET_FEATURES:
		return set_features(s, *(uint64_t *)arg);
	case VHOST_SET_BACKEND_FEATURES:
		return set_backend(s, *(uint64_t *)arg);
	case VHOST_VDPA_SET_CONFIG_CALL:
		r = sham_check_eventfd(*(int *)arg);
		if (r == 0)
			sham_replace_fd(&s->config_call, *(int *)arg);
		return r;
	case VHOST_SET_LOG_BASE:
	case VHOST_SET_LOG_FD:
		return -ENOTTY;
	default:
		return 1;
	}
}

static int owner_call(struct sham *s, unsigned long cmd, void *arg)
{
	const struct vhost_memory *table = arg;

	if (cmd == VHOST_SET_OWNER) {
		if (s->owned)
			return -EBUSY;
		s->owned = true;
		return 0;
	}
	if (!s->owned && !sham_is(s, SHAM_ANYBODY))
		return -EPERM;
	if (cmd == VHOST_SET_MEM_TABLE)
		return table->padding ? -EOPNOTSUPP : table->nregions > 64 ? -E2BIG : 0;
	return sham_queue_call(s, cmd, arg);
}

static int sham_ioctl(void *ctx, unsigned long cmd, void *arg)
{
	struct sham *s = ctx;
	int r;

	if (cmd == VHOST_VDPA_SUSPEND && sham_is(s, SHAM_SECOND_HURRIES) && s->suspended) {
		atomic_store(&s->hurried, true);
		return 0;
	}
	pthread_mutex_lock(&s->control);
	pthread_mutex_lock(&s->work);
	r = device_call(s, cmd, arg);
	if (r > 0)
		r = owner_call(s, cmd, arg);
	pthread_mutex_unlock(&s->work);
	pthread_mutex_unlock(&s->control);
	return r;
}

/* IOTLB --------------------------------------------------------------------------------------- */

static int update(struct sham *s, const struct vhost_iotlb_msg *m)
{
	uint64_t last = m->iova + m->size - 1;

	if (last < m->iova || s->map_count == SHAM_MAPS)
		return -EFAULT;
	if (find_map(s, m->iova, last) && !sham_is(s, SHAM_OVERLAP))
		return -EFAULT;
	s->maps[s->map_count++] = (struct sham_map){m->iova, last, m->uaddr, m->perm};
	if (s->map_count > 2048) {
		s->map_count--;
		return -EFAULT;
	}
	sham_wake(s);
	return 0;
}

static int invalidate(struct sham *s, const struct vhost_iotlb_msg *m)
{
	uint64_t last = m->iova + m->size - 1;

	/* what is taken needs its memory until it is done */
	sham_wait_drained(s);
	if (s->suspended && sham_is(s, SHAM_UNMAP_WRITES))
		s->err = SHAM_WRITES_BUFFER, sham_tempted(s, 0), s->err = SHAM_UNMAP_WRITES;
	for (unsigned i = 0; i < s->map_count;) {
		if (s->maps[i].iova <= last && s->maps[i].last >= m->iova)
			s->maps[i] = s->maps[--s->map_count];
		else
			i++;
	}
	return 0;
}

static int message(struct sham *s, uint32_t asid, const struct vhost_iotlb_msg *m)
{
	if (asid > 0 || (!s->space && (m->type == 3 || m->type == 6)))
		return -EFAULT;
	switch (m->type) {
	case VHOST_IOTLB_UPDATE:
		s->space = true;
		return update(s, m);
	case VHOST_IOTLB_INVALIDATE:
		return invalidate(s, m);
	case VHOST_IOTLB_BATCH_BEGIN:
	case VHOST_IOTLB_BATCH_END:
		s->space = true;
		if (s->suspended && sham_is(s, SHAM_BATCH_STARTS))
			s->suspended = false;
		return 0;
	default:
		return -EFAULT;
	}
}

static ssize_t sham_write(void *ctx, const void *buf, size_t len)
{
	const struct vhost_msg_v2 *v2 = buf;
	struct sham *s = ctx;
	bool asids;
	int r;

	if (len < 40 || (v2->type != VHOST_IOTLB_MSG && v2->type != VHOST_IOTLB_MSG_V2))
		return -EINVAL;
	if (v2->iotlb.type == VHOST_IOTLB_UPDATE && v2->iotlb.size == 0)
		return -EINVAL;
	if (!s->owned)
		return -EFAULT;
	pthread_mutex_lock(&s->control);
	pthread_mutex_lock(&s->work);
	asids = v2->type == VHOST_IOTLB_MSG_V2 && s->backend & BIT(3);
	r = message(s, asids ? v2->asid : 0, &v2->iotlb);
	pthread_mutex_unlock(&s->work);
	pthread_mutex_unlock(&s->control);
	return r < 0 ? r : 72;
}

/* Life ---------------------------------------------------------------------------------------- */

static void sham_close(void *ctx)
{
	struct sham *s = ctx;
	bool suspended = s->suspended;

	pthread_mutex_lock(&s->work);
	s->end = true;
	reset(s);
	s->map_count = 0;
	pthread_mutex_unlock(&s->work);
	sham_wake(s);
	pthread_join(s->thread, NULL);
	for (unsigned i = 0; i < SHAM_QUEUES; i++)
		sham_replace_fd(&s->queues[i].kick, -1);
	sham_replace_fd(&s->config_call, -1);
	close(s->wake);
	close(s->epoll);
	s->suspended = suspended && sham_is(s, SHAM_CLOSE_KEEPS_SUSPENDED);
	s->open = false;
}

static const struct uvdpa_transport transport = {sham_ioctl, sham_write, sham_close};

void sham_init(struct sham *s, enum sham_fault err)
{
	memset(s, 0, sizeof(*s));
	s->err = err;
	pthread_mutex_init(&s->control, NULL);
	pthread_mutex_init(&s->work, NULL);
	pthread_cond_init(&s->drained, NULL);
	s->config[1] = SHAM_SECTORS >> 8; /* capacity, little-endian */
	s->config[12] = 32;		  /* seg_max */
	for (unsigned i = 0; i < sizeof(s->disk); i++)
		s->disk[i] = (uint8_t)(i ^ i >> 9);
	s->config_call = -1;
	for (unsigned i = 0; i < SHAM_QUEUES; i++)
		s->queues[i].kick = s->queues[i].call = -1;
}

int sham_connect(struct sham *s, const struct uvdpa_transport **ops, void **ctx)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = SHAM_QUEUES};

	if (s->open)
		return -EBUSY;
	s->open = true;
	s->end = s->owned = s->space = false;
	s->backend = 0;
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->wake, &event);
	*ops = &transport;
	*ctx = s;
	return -pthread_create(&s->thread, NULL, sham_thread, s);
}

int sham_open(void *arg, unsigned flags, struct uvdpa_driver **drv, struct uvdpa_error *error)
{
	const struct uvdpa_transport *ops;
	void *ctx;
	int r = sham_connect(arg, &ops, &ctx);

	if (r < 0 && error) {
		*error = (struct uvdpa_error){.code = r};
		snprintf(error->text, sizeof(error->text), "sham: %s", strerror(-r));
	}
	return r < 0 ? r : uvdpa_driver_open_transport(ops, ctx, "sham", flags, drv, error);
}
