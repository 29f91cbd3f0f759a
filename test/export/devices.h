/* The devices that export tests serve: a disk each, with one trait each. */
#ifndef UVDPA_TEST_DEVICES_H
#define UVDPA_TEST_DEVICES_H

#include <stdbool.h>
#include <stdint.h>

#include "export/vdpa/vdpa.h"

struct runtime;

#define TEST_QUEUES 2
#define TEST_GROUPS 2
#define TEST_ASIDS  2

struct test_device {
	const char *name;
	const char *worker; /* shared with others; NULL: its own */
	bool no_suspend, no_resume, packed, in_order, kernel_uapi;
	unsigned delay_us;   /* requests take that long */
	bool never;	     /* requests are never done, unless cancelled */
	bool stubborn;	     /* ... and not even then */
	unsigned timeout_ms; /* of suspends and resets */
	uint16_t queue_size; /* entries; 0: 256 */
};

/* "disk", "fixed" (no suspend), "once" (no resume), "strict", "packed", "orderly" (in order, packed
 * or not), "shared" (with others, its worker), "slow", "stuck", "mule". */
extern const struct test_device test_devices[];
extern const unsigned test_device_count;

const struct test_device *test_device_find(const char *name);
/* Ends the test program if it cannot be made. */
struct runtime *test_device_run(const struct test_device *device);
struct vdpa_options test_device_options(const struct test_device *device);

#endif
