/* Adaptive polling, the driver's: see window.h. */
#include "driver/window.h"

#define PATIENCE 4
#define FAR	 8
#define SHY_MOST 1024

void drv_window_init(struct drv_window *window, uint64_t max)
{
	*window = (struct drv_window){.max = max, .shy = 1};
}

static void open_window(struct drv_window *window)
{
	window->length = window->max / 8;
	window->near = window->vain = window->hits = window->misses = 0;
}

static void close_window(struct drv_window *window)
{
	if (window->hits > window->misses)
		window->shy = 1;
	else if (window->shy < SHY_MOST)
		window->shy *= 2;
	window->length = window->near = 0;
}

static void in_vain(struct drv_window *window, uint64_t gap)
{
	unsigned patience = window->hits ? PATIENCE : 1;

	window->vain++;
	if (gap > FAR * window->max || window->vain >= patience)
		close_window(window);
}

void drv_window_hit(struct drv_window *window)
{
	window->hits++;
	window->vain = 0;
}

void drv_window_miss(struct drv_window *window, uint64_t gap)
{
	if (!window->length) {
		if (gap <= 2 * window->max && ++window->near >= window->shy)
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

void drv_window_gave_up(struct drv_window *window, uint64_t gap)
{
	if (window->length && gap > window->max) {
		window->misses++;
		in_vain(window, gap);
	}
}
