/* Adaptive polling, the driver's: see window.h. */
#include "driver/poll_window.h"

#define MISSES_MAX 4
#define FAR	   8
#define SHY_MOST   1024

void drv_poll_window_init(struct drv_poll_window *window, uint64_t max)
{
	*window = (struct drv_poll_window){.max = max, .backoff = 1};
}

static void open_window(struct drv_poll_window *window)
{
	window->length = window->max / 8;
	window->near = window->vain = window->hits = window->misses = 0;
}

static void close_window(struct drv_poll_window *window)
{
	if (window->hits > window->misses)
		window->backoff = 1;
	else if (window->backoff < SHY_MOST)
		window->backoff *= 2;
	window->length = window->near = 0;
}

static void in_vain(struct drv_poll_window *window, uint64_t gap)
{
	unsigned misses_max = window->hits ? MISSES_MAX : 1;

	window->vain++;
	if (gap > FAR * window->max || window->vain >= misses_max)
		close_window(window);
}

void drv_poll_window_hit(struct drv_poll_window *window)
{
	window->hits++;
	window->vain = 0;
}

void drv_poll_window_miss(struct drv_poll_window *window, uint64_t gap)
{
	if (!window->length) {
		if (gap <= 2 * window->max && ++window->near >= window->backoff)
			open_window(window);
		return;
	}
	window->misses++;
	if (gap > window->max) {
		in_vain(window, gap);
		return;
	}
	window->vain = 0;
	window->length *= 2;
	if (window->length > window->max)
		window->length = window->max;
}

void drv_poll_window_gave_up(struct drv_poll_window *window, uint64_t gap)
{
	if (window->length && gap > window->max) {
		window->misses++;
		in_vain(window, gap);
	}
}
