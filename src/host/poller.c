/* Adaptive polling: see poller.h. */
#include "host/poller.h"

#include <time.h>

#define PATIENCE 4
#define FAR	 8

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void poller_init(struct poller *poller, unsigned max_us)
{
	*poller = (struct poller){.max = (uint64_t)max_us * 1000, .now = now_ns};
}

bool poller_begin(const struct poller *poller)
{
	return poller->window && !poller->over;
}

/* There is work again, after `gap`, which was slept through at its end: see the theory. */
static void adapt(struct poller *poller, uint64_t gap)
{
	uint64_t reach = poller->window ? poller->max : 2 * poller->max;

	if (gap > reach) {
		if (gap > FAR * poller->max || ++poller->vain >= PATIENCE)
			poller->window = poller->vain = 0;
		return;
	}
	poller->vain = 0;
	if (!poller->window)
		poller->window = poller->max / 8;
	else if (poller->window < gap)
		poller->window =
			poller->window * 2 < poller->max ? poller->window * 2 : poller->max;
}

enum worker_next poller_end(struct poller *poller, bool done, bool more, bool dry)
{
	if (!poller->max)
		return more ? WORKER_AGAIN : WORKER_SLEEP;
	if (done || more) {
		if (poller->asleep)
			adapt(poller, poller->now() - poller->dry);
		else if (poller->dry)
			poller->vain = 0; /* it helped */
		poller->dry = 0;
		poller->over = poller->asleep = false;
	}
	if (more)
		return WORKER_AGAIN;
	if (!poller->dry)
		poller->dry = poller->now();
	if (dry) {
		poller->over = poller->now() - poller->dry >= poller->window;
		return poller->over ? WORKER_AGAIN : WORKER_POLL;
	}
	poller->over = false;
	poller->asleep = true;
	return WORKER_SLEEP;
}
