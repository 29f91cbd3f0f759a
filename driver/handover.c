/*
 * Hand-over: queues with everything in flight go from one device to another.
 *
 *	      source                          target
 *	1                                     negotiate, map, NUM ADDR CALL KICK
 *	2     SUSPEND                                             from here on nobody serves
 *	3     GET_VRING_BASE, compared with the used index
 *	4                                     BASE ENABLE
 *	5                                     DRIVER_OK           it serves
 *	6                                     one kick per queue
 *	7                                     has it begun?
 *	8                                     has it kept DRIVER_OK?
 *	9     reset, unmap
 *
 * It works on every kernel since 6.9. Two of its points are not obvious. The
 * base has to be read before the reset, which zeroes it. And the kick at the end belongs to it:
 * what was announced before the suspension was announced to the other device.
 *
 * A split base carries the available position only and the target takes the used position to be
 * the same (linux: vdpasim_set_vq_ready()); a packed one carries both, but nobody takes up what
 * lies between. So a difference at step 3 would lose exactly the requests in between, and step 3
 * stops while the source can still be resumed.
 *
 * Between 2 and 6 nothing is done that can be done before or after: every call here is time without
 * a disk. The source is suspended meanwhile, which is all that it has to be (S2 to S5), also when
 * it hears the kicks, which go to both. A source that is to be kept is unbound after step 3,
 * and one that is the target as well is reset there, which is followed by step 1.
 */
#include "driver/connection.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "driver/arena.h"
#include "driver/error.h"
#include "driver/queue.h"
#include "driver/vhost_user.h"

/* How often, and how long, step 7 waits. */
#define BREATHS	  4
#define BREATH_NS 100000

/* The queues on their way. */
struct handover_state {
	struct uvdpa_queue *queues[DRV_MAX_QUEUES];
	uint32_t bases[DRV_MAX_QUEUES];
	struct drv_map maps[DRV_MAX_MAPS];
	uint64_t features;
};

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Step 1: exactly the features, the mappings and the queues of the handover_state. */
static int prepare(struct uvdpa_driver *to, const struct handover_state *l,
		   struct uvdpa_error *error)
{
	uint64_t got = 0;
	int r = uvdpa_driver_negotiate(to, l->features, &got, error);

	if (r < 0)
		return r;
	if (got != l->features)
		return drv_error(error, -ENOTSUP,
				 "%s: lacks features 0x%llx that are in use: these queues cannot "
				 "come here",
				 to->name, (unsigned long long)(l->features & ~got));
	for (unsigned i = 0; i < DRV_MAX_MAPS && r == 0; i++)
		if (l->maps[i].memory)
			r = uvdpa_driver_map(to, l->maps[i].memory, l->maps[i].asid, error);
	for (unsigned i = 0; i < DRV_MAX_QUEUES && r == 0; i++)
		if (l->queues[i])
			r = drv_setup_queue(to, i, l->queues[i], error);
	return r;
}

/* Whether the target has everything already. */
static bool is_prepared(const struct uvdpa_driver *from, const struct uvdpa_driver *to)
{
	if (!to->negotiated || to->features != from->features)
		return false;
	for (unsigned i = 0; i < from->queue_count; i++)
		if (from->queues[i] &&
		    (i >= to->queue_count || to->announced[i] != from->queues[i]->serial))
			return false;
	for (unsigned i = 0; i < DRV_MAX_MAPS; i++) {
		const struct drv_map *m = &from->maps[i];
		bool found = !m->memory;

		for (unsigned j = 0; j < DRV_MAX_MAPS && !found; j++)
			found = to->maps[j].memory == m->memory && to->maps[j].asid == m->asid;
		if (!found)
			return false;
	}
	return true;
}

/* What `from` has, held so that it outlives a reset. */
static void pack(const struct uvdpa_driver *from, struct handover_state *l)
{
	memset(l, 0, sizeof(*l));
	l->features = from->features;
	memcpy(l->maps, from->maps, sizeof(l->maps));
	for (unsigned i = 0; i < DRV_MAX_MAPS; i++)
		if (l->maps[i].memory)
			drv_memory_get(l->maps[i].memory);
	for (unsigned i = 0; i < from->queue_count; i++)
		l->queues[i] = from->queues[i];
}

static void unpack(struct handover_state *l)
{
	for (unsigned i = 0; i < DRV_MAX_MAPS; i++)
		if (l->maps[i].memory)
			drv_memory_put(l->maps[i].memory);
}

int uvdpa_handover_prepare(struct uvdpa_driver *from, struct uvdpa_driver *to,
			   struct uvdpa_error *error)
{
	struct handover_state l;
	int r;

	if (from == to)
		return drv_error(error, -EINVAL, "%s: a device cannot be prepared for itself",
				 from->name);
	if (is_prepared(from, to))
		return 0;
	pack(from, &l);
	r = prepare(to, &l, error);
	unpack(&l);
	return r;
}

/* Steps 2 and 3. */
static int stop(struct uvdpa_driver *from, struct handover_state *l,
		struct uvdpa_handover_times *times, struct uvdpa_error *error)
{
	int r = uvdpa_driver_suspend(from);

	if (r < 0)
		return drv_error(error, r, "%s: SUSPEND: %s", from->name, drv_reason(from, r));
	times->suspended = now_ns();
	r = uvdpa_driver_get_bases(from, l->bases, DRV_MAX_QUEUES);
	if (r < 0)
		return drv_error(error, r, "%s: GET_VRING_BASE: %s", from->name,
				 drv_reason(from, r));
	times->bases = now_ns();
	for (unsigned i = 0; i < from->queue_count; i++) {
		struct uvdpa_queue *q = l->queues[i];

		if (q && l->bases[i] != uvdpa_queue_base(q))
			return drv_error(error, -EPROTO,
					 uvdpa_queue_is_packed(q)
						 ? "%s: queue %u: base 0x%x but used 0x%x: "
						   "what lies between would be lost (the "
						   "device broke clause S3)"
						 : "%s: queue %u: base %u but used index "
						   "%u: what lies between would be lost "
						   "(the device broke clause S3)",
					 from->name, i, l->bases[i], uvdpa_queue_base(q));
	}
	return 0;
}

/* Instead of a reset: the source keeps its suspension and loses its hold on the queues. */
static int unbind(struct uvdpa_driver *from)
{
	for (unsigned i = 0; i < from->queue_count; i++) {
		int r;

		if (!from->queues[i])
			continue;
		r = uvdpa_set_vring_kick(from, i, -1);
		if (r == 0)
			r = uvdpa_set_vring_call(from, i, -1);
		if (r == 0)
			r = uvdpa_set_vring_enable(from, i, 0);
		if (r < 0)
			return r;
	}
	drv_detach_all(from);
	return 0;
}

/* Whether a device has finished something since the queues were handed over. */
static bool goes_on(const struct handover_state *l)
{
	for (unsigned i = 0; i < DRV_MAX_QUEUES; i++)
		if (l->queues[i] && uvdpa_queue_base(l->queues[i]) != l->bases[i])
			return true;
	return false;
}

/*
 * Step 7. What is left to do is in no hurry, and would take from the target, where processors are
 * few, the one on which it could answer. So it waits for a first sign of life, but not for long:
 * there may be nothing to do, or only what takes longer.
 */
static void resume_source(const struct handover_state *l)
{
	const struct timespec while_ns = {.tv_nsec = BREATH_NS};

	for (unsigned i = 0; i < BREATHS && !goes_on(l); i++)
		nanosleep(&while_ns, NULL);
}

/* Steps 4 to 8. */
static int start(struct uvdpa_driver *to, const struct handover_state *l,
		 struct uvdpa_handover_times *times, struct uvdpa_error *error)
{
	int r = 0;

	int refused;

	drv_vhost_user_batch_begin(to);
	for (unsigned i = 0; i < DRV_MAX_QUEUES && r == 0; i++)
		if (l->queues[i])
			r = drv_attach(to, i, l->queues[i], l->bases[i], error);
	if (r == 0) {
		times->attached = now_ns();
		r = drv_set_driver_ok(to, error);
	}
	refused = drv_vhost_user_batch_end(to);
	if (r < 0)
		return r;
	if (refused < 0)
		return drv_error(error, refused, "%s: set-up of the queues and DRIVER_OK: %s",
				 to->name, drv_reason(to, refused));
	times->driver_ok = now_ns();
	r = drv_kick_all(to);
	if (r < 0)
		return drv_error(error, r, "%s: kick: %s", to->name, drv_reason(to, r));
	times->kicked = now_ns();
	drv_vhost_user_busy_poll(to, false);
	resume_source(l);
	return drv_see_driver_ok(to, error);
}

static int released(struct uvdpa_driver *from, int r, struct uvdpa_handover_times *times,
		    struct uvdpa_error *error)
{
	if (r < 0)
		return drv_error(error, r, "%s: letting go of the queues: %s", from->name,
				 drv_reason(from, r));
	times->released = now_ns();
	return 0;
}

/* Step 9. The queues are the target's already, or nobody's. */
static int release_source(struct uvdpa_driver *from, struct uvdpa_handover_times *times,
			  struct uvdpa_error *error)
{
	int r = released(from, drv_stop(from), times, error);

	if (r == 0)
		drv_unmap_all(from);
	return r;
}

/* Within one device: everything of its is set up anew. */
static int restart(struct uvdpa_driver *drv, const struct handover_state *l,
		   struct uvdpa_handover_times *times, struct uvdpa_error *error)
{
	int r = released(drv, uvdpa_driver_reset(drv), times, error);

	if (r == 0)
		r = prepare(drv, l, error);
	if (r == 0)
		times->prepared = now_ns();
	return r;
}

static int move(struct uvdpa_driver *from, struct uvdpa_driver *to, bool keep,
		struct handover_state *l, struct uvdpa_handover_times *times,
		struct uvdpa_error *error)
{
	bool late = from != to && !keep;
	int r = stop(from, l, times, error), last;

	if (r < 0)
		return r;
	if (late)
		drv_detach_all(from);
	else if (keep)
		r = released(from, unbind(from), times, error);
	else
		r = restart(from, l, times, error);
	if (r < 0)
		return r;
	r = start(to, l, times, error);
	if (!late)
		return r;
	/* whatever became of the target; the first error is the one that is told */
	last = release_source(from, times, r < 0 ? NULL : error);
	return r < 0 ? r : last;
}

int uvdpa_handover(struct uvdpa_driver *from, struct uvdpa_driver *to, unsigned flags,
		   struct uvdpa_handover_times *times, struct uvdpa_error *error)
{
	bool keep = flags & UVDPA_HANDOVER_KEEP_SOURCE;
	struct uvdpa_handover_times own;
	struct handover_state l;
	int r;

	if ((flags & ~UVDPA_HANDOVER_KEEP_SOURCE) || (keep && from == to))
		return drv_error(error, -EINVAL, "%s: hand-over flags 0x%x cannot be", from->name,
				 flags);
	times = times ? times : &own;
	memset(times, 0, sizeof(*times));
	times->begin = now_ns();
	if (from != to) {
		r = uvdpa_handover_prepare(from, to, error);
		if (r < 0)
			return r;
		times->prepared = now_ns();
	}
	pack(from, &l);
	drv_vhost_user_busy_poll(from, true);
	drv_vhost_user_busy_poll(to, true);
	r = move(from, to, keep, &l, times, error);
	drv_vhost_user_busy_poll(from, false);
	drv_vhost_user_busy_poll(to, false);
	unpack(&l);
	return r;
}
