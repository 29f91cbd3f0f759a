/* The sham's calls about one queue. */
#include "sham.h"

#include <errno.h>

#include "wire/vhost.h"

/* Calls about one queue ---------------------------------------------------------------------- */

static bool fixed(const struct sham *s)
{
	return s->status & 4 && !s->suspended && !sham_is(s, SHAM_ADDR_WHILE_RUNNING);
}

static int set_num(struct sham_queue *q, uint32_t num)
{
	if (num == 0 || num > SHAM_SIZE_MAX || num & (num - 1))
		return -EINVAL;
	q->num = num;
	return 0;
}

static int set_addr(struct sham *s, struct sham_queue *q, const struct vhost_vring_addr *a)
{
	if (a->flags & ~1u)
		return -EOPNOTSUPP;
	if (a->avail_user_addr & 1 || a->used_user_addr & 3 || a->log_guest_addr & 3 || fixed(s))
		return -EINVAL;
	q->desc = a->desc_user_addr;
	q->avail = a->avail_user_addr;
	q->used = a->used_user_addr;
	return 0;
}

static int set_base(struct sham *s, struct sham_queue *q, uint32_t base)
{
	if ((base > 0xffff && !sham_is_packed(s)) || fixed(s))
		return -EINVAL;
	if (sham_is(s, SHAM_BASE_IGNORED))
		return 0;
	q->last_avail = (uint16_t)base;
	if (sham_is_packed(s))
		q->used_idx = (uint16_t)(base >> 16);
	return 0;
}

static uint32_t get_base(struct sham *s, const struct sham_queue *q)
{
	uint16_t base = q->last_avail;

	if (s->suspended && sham_is(s, SHAM_BASE_HIGH))
		base++;
	if (s->suspended && sham_is(s, SHAM_BASE_LOW))
		base--;
	if (s->suspended && sham_is(s, SHAM_BASE_MOVES))
		base = (uint16_t)(base + s->bases_asked++);
	if (!sham_is_packed(s))
		return base;
	if (sham_is(s, SHAM_BASE_NO_WRAP))
		return base | (uint32_t)(q->used_idx & 0x7fff) << 16;
	if (sham_is(s, SHAM_BASE_HALF))
		return base;
	return base | (uint32_t)q->used_idx << 16;
}

static int set_enable(struct sham *s, unsigned index, bool enable)
{
	struct sham_queue *q = &s->queues[index];

	if (!enable) {
		for (unsigned i = 0; i < SHAM_QUEUES && sham_is(s, SHAM_STOP_STOPS_ALL); i++)
			s->queues[i].ready = false;
		q->ready = false;
		sham_wait_drained(s);
		return 0;
	}
	if (q->ready)
		return 0;
	if (sham_is(s, SHAM_BASE_FROM_ZERO))
		q->last_avail = sham_is_packed(s) ? 0x8000 : 0;
	if (sham_is_packed(s) && sham_is(s, SHAM_BASE_FIRST_LAP))
		q->last_avail |= 0x8000;
	sham_start_queue(s, index);
	q->ready = true;
	q->enabled_late = s->suspended;
	if (s->suspended && sham_is(s, SHAM_ENABLE_STARTS))
		s->suspended = false;
	if (!s->suspended)
		sham_wake(s);
	return 0;
}

static int set_kick(struct sham *s, unsigned index, int fd)
{
	struct sham_queue *q = &s->queues[index];
	int r = sham_check_eventfd(fd);

	if (r < 0)
		return r;
	sham_replace_fd(&q->kick, fd); /* the old one leaves the epoll set with its last copy */
	if (q->kick >= 0)
		sham_watch(s, index, q->kick);
	if (s->suspended && sham_is(s, SHAM_REBIND_STARTS))
		s->suspended = false;
	return 0;
}

static int set_call(struct sham_queue *q, int fd, bool store)
{
	int r = sham_check_eventfd(fd);

	if (r == 0 && store)
		sham_replace_fd(&q->call, fd);
	return r;
}

int sham_queue_call(struct sham *s, unsigned long cmd, void *arg)
{
	struct vhost_vring_state *state = arg;
	const struct vhost_vring_file *file = arg;
	struct sham_queue *q;

	if (!arg)
		return -EFAULT;
	if (state->index >= SHAM_QUEUES)
		return -ENOBUFS;
	q = &s->queues[state->index];
	switch (cmd) {
	case VHOST_SET_VRING_NUM:
		return set_num(q, state->num);
	case VHOST_SET_VRING_ADDR:
		return set_addr(s, q, arg);
	case VHOST_SET_VRING_BASE:
		return set_base(s, q, state->num);
	case VHOST_GET_VRING_BASE:
		state->num = get_base(s, q);
		return 0;
	case VHOST_SET_VRING_KICK:
		return set_kick(s, file->index, file->fd);
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
		return set_call(q, file->fd, cmd == VHOST_SET_VRING_CALL);
	case VHOST_VDPA_SET_VRING_ENABLE:
		return set_enable(s, state->index, state->num);
	case VHOST_VDPA_GET_VRING_GROUP:
		state->num = 0;
		return 0;
	case VHOST_VDPA_SET_GROUP_ASID:
		return state->index == 0 && state->num == 0 ? 0 : -EINVAL;
	case VHOST_VDPA_GET_VRING_SIZE:
		state->num = q->num ? q->num : SHAM_SIZE_MAX;
		return 0;
	default:
		return -ENOTTY;
	}
}
