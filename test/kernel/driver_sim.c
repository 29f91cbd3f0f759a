/*
 * libuvdpa-driver against the kernel's own vhost_vdpa and block simulator: runs as root inside a
 * kernel that has /dev/vhost-vdpa-1 (vdpa_sim_blk). Each case says what it tried; the first failure
 * ends the program.
 *
 * What the simulator does not keep of the contract is not judged here; the cases rely on what every
 * kernel since 6.9 does: kick again after a resume, read the base before the reset.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "uvdpa/driver.h"
#include "wire/vhost.h"

#define DEVICE "/dev/vhost-vdpa-1"
#define DEPTH  32
#define BLOCK  4096

static struct uvdpa_driver *drv;
static struct uvdpa_memory *memory;
static struct uvdpa_queue *q;
static struct uvdpa_blk *blk;
static unsigned char *data; /* DEPTH blocks */
static struct uvdpa_error error;
static const char *doing = "starting";

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list args;

	printf("FAILED while %s: ", doing);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf(" (%s)\n", error.text);
	exit(1);
}

#define CHECK(condition)                                          \
	do {                                                      \
		if (!(condition))                                 \
			die("line %d: %s", __LINE__, #condition); \
	} while (0)

static void begin(const char *what)
{
	doing = what;
	printf("- %s\n", what);
	fflush(stdout);
}

static void open_and_start(uint16_t base)
{
	uint64_t features = 0;

	CHECK(uvdpa_driver_open(DEVICE, 0, &drv, &error) == 0);
	CHECK(uvdpa_driver_negotiate(drv, ~(1ull << VIRTIO_F_RING_PACKED), &features, &error) == 0);
	CHECK(uvdpa_driver_map(drv, memory, 0, &error) == 0);
	if (!q) {
		const struct uvdpa_queue_options o = {
			.size = 256, .base = base, .features = features};

		CHECK(uvdpa_queue_new(memory, &o, &q, &error) == 0);
		CHECK(uvdpa_blk_new(memory, q, DEPTH, &blk, &error) == 0);
	}
	CHECK(uvdpa_queue_in_flight(q) || uvdpa_queue_restart(q, base) == 0);
	CHECK(uvdpa_driver_attach(drv, 0, q, uvdpa_queue_base(q), &error) == 0);
	CHECK(uvdpa_driver_start(drv, &error) == 0);
}

static void stop(void)
{
	uvdpa_driver_close(drv);
	drv = NULL;
}

static void fill(unsigned slot, unsigned value)
{
	memset(data + slot * BLOCK, (int)(value * 7 + 1), BLOCK);
	memcpy(data + slot * BLOCK, &value, sizeof(value));
}

static void add_writes(unsigned count, unsigned value)
{
	for (unsigned i = 0; i < count; i++) {
		fill(i, value + i);
		CHECK(uvdpa_blk_write(blk, i * (BLOCK / 512), data + i * BLOCK, BLOCK, i) == 0);
	}
}

/* Collects `count` completions, each once and each good. */
static void collect(unsigned count)
{
	bool seen[DEPTH] = {false};

	while (count > 0) {
		struct uvdpa_blk_completion c[DEPTH];
		int n;

		CHECK(uvdpa_queue_wait(q, 20000) == 1);
		n = uvdpa_blk_poll(blk, c, DEPTH);
		CHECK(n > 0 && (unsigned)n <= count);
		for (int i = 0; i < n; i++) {
			CHECK(c[i].status == VIRTIO_BLK_S_OK);
			CHECK(c[i].cookie < DEPTH && !seen[c[i].cookie]);
			seen[c[i].cookie] = true;
		}
		count -= (unsigned)n;
	}
	CHECK(uvdpa_blk_in_flight(blk) == 0);
}

static void read_back(unsigned count, unsigned value)
{
	unsigned char *copy = malloc(count * BLOCK);

	for (unsigned i = 0; i < count; i++)
		fill(i, value + i);
	memcpy(copy, data, count * BLOCK);
	memset(data, 0xee, count * BLOCK);
	for (unsigned i = 0; i < count; i++)
		CHECK(uvdpa_blk_read(blk, i * (BLOCK / 512), data + i * BLOCK, BLOCK, i) == 0);
	CHECK(uvdpa_queue_submit(q) == 1);
	collect(count);
	CHECK(memcmp(copy, data, count * BLOCK) == 0);
	free(copy);
}

static void config_and_identity(void)
{
	struct uvdpa_blk_config c;
	uint32_t size;
	uint16_t max;

	begin("reading the config space and the serial");
	open_and_start(0);
	CHECK(uvdpa_driver_device_id(drv) == VIRTIO_ID_BLOCK);
	CHECK(uvdpa_blk_read_config(drv, &c, &error) == 0);
	CHECK(c.capacity == 0x40000);
	CHECK(c.seg_max == 32 && c.blk_size == 512 && c.num_queues == 1);
	CHECK(uvdpa_get_vring_num(drv, &max) == 0 && max == 256);
	CHECK(uvdpa_get_config_size(drv, &size) == 0 && size == 96);
	CHECK(uvdpa_blk_get_id(blk, data, 1) == 0);
	CHECK(uvdpa_blk_finish(blk, 1, 20000) == VIRTIO_BLK_S_OK);
	CHECK(strcmp((char *)data, "vdpa_blk_sim") == 0);
	CHECK(uvdpa_blk_flush(blk, 2) == 0);
	CHECK(uvdpa_blk_finish(blk, 2, 20000) == VIRTIO_BLK_S_OK);
	stop();
}

static void writes_and_reads(void)
{
	begin("writing and reading back, over the wrap of the indexes");
	open_and_start(65530);
	add_writes(DEPTH, 1000);
	CHECK(uvdpa_queue_submit(q) == 1);
	collect(DEPTH);
	CHECK(uvdpa_queue_base(q) == (uint16_t)(65530 + DEPTH));
	read_back(DEPTH, 1000);
	stop();
}

static void suspend_and_resume(void)
{
	struct uvdpa_queue_view before, after;
	uint32_t base, again;
	uint8_t status;

	begin("suspending, looking at the base, resuming");
	open_and_start(65530);
	add_writes(DEPTH, 2000);
	CHECK(uvdpa_queue_submit(q) == 1);
	CHECK(uvdpa_driver_suspend(drv) == 0);
	CHECK(uvdpa_get_vring_base(drv, 0, &base) == 0);
	uvdpa_queue_debug_snapshot(q, &before);
	CHECK(base == before.used_idx);
	CHECK(uvdpa_get_status(drv, &status) == 0 && status == 0x0f);
	CHECK(uvdpa_queue_kick_always(q) == 0);
	poll(NULL, 0, 50);
	uvdpa_queue_debug_snapshot(q, &after);
	CHECK(memcmp(&before, &after, sizeof(after)) == 0);
	CHECK(uvdpa_get_vring_base(drv, 0, &again) == 0 && again == base);
	CHECK(uvdpa_driver_resume(drv) == 0);
	collect(DEPTH);
	read_back(DEPTH, 2000);
	stop();
}

static void hand_over_across_a_reset(void)
{
	struct uvdpa_handover_times t;

	begin("handing the rings over across resets, ten times with requests in flight");
	open_and_start(65520);
	for (unsigned i = 0; i < 10; i++) {
		add_writes(DEPTH, 3000 + i * 100);
		CHECK(uvdpa_queue_submit(q) >= 0);
		CHECK(uvdpa_handover(drv, drv, 0, &t, &error) == 0);
		CHECK(t.begin < t.suspended && t.suspended < t.bases && t.bases < t.kicked);
		collect(DEPTH);
	}
	read_back(DEPTH, 3900);
	stop();
}

static void hand_over_to_a_new_connection(void)
{
	uint32_t base;

	begin("carrying rings, memory and base over to a new connection");
	open_and_start(0);
	add_writes(DEPTH, 5000);
	CHECK(uvdpa_queue_submit(q) == 1);
	CHECK(uvdpa_driver_suspend(drv) == 0);
	CHECK(uvdpa_driver_get_bases(drv, &base, 1) == 0);
	CHECK(base == uvdpa_queue_base(q));
	stop();
	/* what was in flight goes on in the new one, from the same base */
	open_and_start(0);
	CHECK(uvdpa_driver_is_suspended(drv) == 0);
	collect(uvdpa_blk_in_flight(blk));
	read_back(DEPTH, 5000);
	stop();
}

static void refusals(void)
{
	struct uvdpa_driver *second = NULL;
	int value = 1;

	begin("refusals: a second opener, no ownership, the old number of SUSPEND");
	open_and_start(0);
	CHECK(uvdpa_driver_open(DEVICE, 0, &second, &error) == -EBUSY);
	CHECK(strstr(error.text, "busy"));
	CHECK(uvdpa_set_vring_base(drv, 0, 1) == -EINVAL); /* running */
	CHECK(uvdpa_set_vring_num(drv, 1, 8) == -ENOBUFS);
	CHECK(uvdpa_set_features(drv, 0) == -EBUSY);
	/* argument 1 is taken for a queue index that is not there: the unknown command rule */
	CHECK(uvdpa_suspend_v6(drv, value) == -ENOBUFS);
	CHECK(uvdpa_suspend_v6(drv, 0) == -ENOTTY);
	CHECK(uvdpa_iotlb_invalidate(drv, 5, 0, 1) == -EFAULT);
	CHECK(uvdpa_write(drv, "abc", 3) == -EINVAL);
	stop();
	CHECK(uvdpa_driver_open(DEVICE, UVDPA_OPEN_UNOWNED, &drv, &error) == 0);
	CHECK(uvdpa_set_vring_num(drv, 0, 8) == -EPERM);
	stop();
	CHECK(uvdpa_driver_open("/dev/null", 0, &drv, &error) == -ENOTTY);
}

int main(void)
{
	struct utsname kernel;

	uname(&kernel);
	printf("kernel %s\n", kernel.release);
	CHECK(uvdpa_memory_new(&(struct uvdpa_memory_options){.size = 1 << 20}, &memory, &error) ==
	      0);
	data = uvdpa_memory_alloc(memory, DEPTH * BLOCK, BLOCK);
	CHECK(data);
	config_and_identity();
	writes_and_reads();
	suspend_and_resume();
	hand_over_across_a_reset();
	hand_over_to_a_new_connection();
	refusals();
	uvdpa_blk_free(blk);
	uvdpa_queue_free(q);
	uvdpa_memory_free(memory);
	printf("passed\n");
	return 0;
}
