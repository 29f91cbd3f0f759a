/* Comparing a suspended device with what it was a kind ago. */
#include "check/still.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check/target.h"

static void take_config(struct rig *rig, struct still *s)
{
	s->config_size = rig->facts->config_size;
	if (s->config_size > sizeof(s->config))
		s->config_size = sizeof(s->config);
	if (s->config_size && uvdpa_get_config(rig->drv, 0, s->config, s->config_size) < 0)
		s->config_size = 0;
}

static uint64_t drain(int fd)
{
	uint64_t count = 0;

	return read(fd, &count, sizeof(count)) == (ssize_t)sizeof(count) ? count : 0;
}

void still_take(struct rig *rig, struct still *s, unsigned watch)
{
	size_t size = uvdpa_memory_size(rig->memory);

	s->watch = watch;
	for (unsigned i = 0; i < rig->queues; i++) {
		uvdpa_queue_drain_calls(rig->queue[i]);
		s->used[i] = rig_used(rig, i);
		if (watch & STILL_BASE)
			s->base[i] = rig_base(rig, i);
	}
	drain(rig->config_call);
	if (watch & STILL_CONFIG)
		take_config(rig, s);
	s->memory = watch & STILL_MEMORY ? malloc(size) : NULL;
	if (s->memory)
		memcpy(s->memory, uvdpa_memory_base(rig->memory), size);
}

/* Which part of the arena a byte belongs to. */
static void place_of(struct rig *rig, const uint8_t *p, char *text, size_t size)
{
	for (unsigned i = 0; i < rig->queues; i++) {
		struct uvdpa_queue_areas a;
		size_t at;

		uvdpa_queue_areas(rig->queue[i], &a);
		at = (size_t)(p - (uint8_t *)a.used);
		if (p >= (uint8_t *)a.used && at < a.used_len) {
			snprintf(text, size, "queue %u: %s", i,
				 rig->packed		? "device event suppression"
				 : at < 2		? "used flags"
				 : at < 4		? "used index"
				 : at >= a.used_len - 2 ? "available event"
							: "used entries");
			return;
		}
		if (p >= (uint8_t *)a.avail && p < (uint8_t *)a.avail + a.avail_len) {
			snprintf(text, size, "queue %u: %s", i,
				 rig->packed ? "driver event suppression" : "available ring");
			return;
		}
		if (p >= (uint8_t *)a.desc && p < (uint8_t *)a.desc + a.desc_len) {
			snprintf(text, size, "queue %u: descriptors", i);
			return;
		}
	}
	snprintf(text, size, "a buffer");
}

static void check_memory(struct rig *rig, struct still *s, const char *when)
{
	const uint8_t *now = uvdpa_memory_base(rig->memory);
	size_t size = uvdpa_memory_size(rig->memory);
	char place[80];

	if (!s->memory || memcmp(s->memory, now, size) == 0)
		return;
	for (size_t i = 0; i < size; i++) {
		if (s->memory[i] == now[i])
			continue;
		place_of(rig, now + i, place, sizeof(place));
		for (unsigned q = 0; q < rig->queues; q++)
			rig_see_behind(rig, q, s->used[q]);
		broken(rig->c, "nothing is written to guest memory while suspended (S4)",
		       "%s: arena byte 0x%zx went from 0x%02x to 0x%02x %s", place, i, s->memory[i],
		       now[i], when);
	}
}

static void check_queue(struct rig *rig, struct still *s, unsigned i, const char *when)
{
	uint32_t used = rig_used(rig, i);
	uint64_t calls;

	if (s->watch & STILL_USED && used != s->used[i])
		rig_see_behind(rig, i, s->used[i]);
	if (s->watch & STILL_USED && used != s->used[i])
		broken(rig->c, "no descriptor is taken while suspended (S2)",
		       "queue %u: the used index went from %u to %u %s", i, s->used[i], used, when);
	if (s->watch & STILL_BASE) {
		uint32_t base = rig_base(rig, i);

		if (base != s->base[i])
			broken(rig->c, "the base stands still while suspended (S2, S6)",
			       "queue %u: it went from %u to %u %s", i, s->base[i], base, when);
	}
	calls = uvdpa_queue_drain_calls(rig->queue[i]);
	if (s->watch & STILL_CALLS && calls)
		broken(rig->c, "no call is sent while suspended (S5)",
		       "queue %u: the call eventfd was signalled %llu times %s", i,
		       (unsigned long long)calls, when);
}

static void check_config(struct rig *rig, struct still *s, const char *when)
{
	struct still now = {0};

	if (drain(rig->config_call))
		broken(rig->c, "no config call is sent while suspended (S5)",
		       "the config call eventfd was signalled %s", when);
	take_config(rig, &now);
	for (uint32_t i = 0; i < s->config_size && i < now.config_size; i++)
		if (s->config[i] != now.config[i])
			broken(rig->c, "the config space does not change while suspended (S5)",
			       "byte %u went from 0x%02x to 0x%02x %s", i, s->config[i],
			       now.config[i], when);
}

void still_check(struct rig *rig, struct still *s, const char *when)
{
	for (unsigned i = 0; i < rig->queues; i++)
		check_queue(rig, s, i, when);
	check_memory(rig, s, when);
	if (s->watch & STILL_CONFIG)
		check_config(rig, s, when);
	free(s->memory);
	s->memory = NULL;
}

void still_watch(struct rig *rig, unsigned watch, unsigned microseconds, const char *when)
{
	struct still s = {0};

	still_take(rig, &s, watch);
	check_sleep(microseconds);
	still_check(rig, &s, when);
}

void still_finished(struct rig *rig, const char *when)
{
	for (unsigned i = 0; i < rig->queues; i++) {
		uint32_t used = rig_used(rig, i);
		uint32_t base = rig_base(rig, i);

		if (base != used)
			rig_see_behind(rig, i, used);
		if (base != used)
			broken(rig->c,
			       "while suspended GET_VRING_BASE is the used index: all that was "
			       "taken is finished (S3, S6)",
			       "queue %u: base %u, used index %u %s", i, base, used, when);
	}
}
