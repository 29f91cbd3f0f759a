/* Adaptive polling: see poller.h. */
#include "runtime/poller.h"

#include <time.h>

#define MISSES_MAX 4
#define FAR	   8
#define ANSWER	   3 /* times as long as for a request */

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void poller_init(struct poller *poller, unsigned max_us)
{
	*poller = (struct poller){
		.request.max = (uint64_t)max_us * 1000,
		.answer.max = (uint64_t)max_us * 1000 * ANSWER,
		.now = now_ns,
	};
}

static struct poller_window *window_of(struct poller *poller)
{
	return poller->inflight ? &poller->answer : &poller->request;
}

bool poller_begin(const struct poller *poller)
{
	if (!poller->empty) /* which of them it will be is not known yet */
		return poller->request.length || poller->answer.length;
	return !poller->over && (poller->inflight ? poller->answer : poller->request).length;
}

/* There is work again, after `gap`, which was slept through at its end: see the theory. */
static void adapt(struct poller_window *window, uint64_t gap)
{
	uint64_t reach = window->length ? window->max : 2 * window->max;

	if (gap > reach) {
		if (gap > FAR * window->max || ++window->misses >= MISSES_MAX)
			window->length = window->misses = 0;
		return;
	}
	window->misses = 0;
	if (!window->length)
		window->length = window->max / 8;
	else if (window->length < gap)
		window->length =
			window->length * 2 < window->max ? window->length * 2 : window->max;
}

static void work_came(struct poller *poller)
{
	if (poller->asleep)
		adapt(window_of(poller), poller->now() - poller->empty);
	else if (poller->empty)
		window_of(poller)->misses = 0; /* it helped */
	poller->empty = 0;
	poller->over = poller->asleep = false;
}

enum worker_next poller_end(struct poller *poller, struct poller_pass pass)
{
	if (!poller->request.max)
		return pass.more ? WORKER_AGAIN : WORKER_SLEEP;
	if (pass.done || pass.more)
		work_came(poller);
	if (pass.more)
		return WORKER_AGAIN;
	if (!poller->empty) {
		poller->empty = poller->now();
		poller->inflight = pass.inflight;
	}
	if (pass.empty) {
		poller->over = poller->now() - poller->empty >= window_of(poller)->length;
		return poller->over ? WORKER_AGAIN : WORKER_POLL;
	}
	poller->over = false;
	poller->asleep = true;
	return WORKER_SLEEP;
}
