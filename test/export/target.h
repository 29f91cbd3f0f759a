/*
 * A device as a client has it, through whichever export the test program brings:
 * the calls of the uAPI, and above them a driver small enough to be obviously
 * right (rings by lib/vq.h, memory of this process).
 */
#ifndef UVDPA_TEST_TARGET_H
#define UVDPA_TEST_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/ram.h"
#include "lib/vq.h"
#include "wire/vhost.h"

/* An export. Results are 0 or a negative errno; write: bytes or a negative errno. */
struct target_export {
	bool over_fuse; /* with the limits of docs/uapi.md */
	int (*open)(const char *device, void **handle);
	int (*ioctl)(void *handle, unsigned long cmd, void *arg);
	ssize_t (*write)(void *handle, const void *bytes, size_t size);
	void (*close)(void *handle);
};
extern const struct target_export target_export; /* the test program's */

#define TARGET_RAM (256 * 1024) /* bytes of memory that a target uses */

struct target {
	void *handle;
	struct ram ram;
	struct vq vq[2];
	int kick[2], call[2];
	unsigned posted[2];
	uint64_t buffers;
	uint8_t *own_bytes; /* while the memory is the test's: what the target came with */
};

#define FEATURES_MUST ((1ull << 32) | (1ull << 33))

/* cmocka setup and teardown; a setup per device of devices.h. */
int target_setup(void **state, const char *device);
int target_teardown(void **state);
#define TARGET_SETUP(device)                         \
	static int setup_##device(void **state)      \
	{                                            \
		return target_setup(state, #device); \
	}
#define TARGET_TEST(function, device) \
	cmocka_unit_test_setup_teardown(function, setup_##device, target_teardown)

/* The cases, a group per file; each returns the number of failures. */
int cases_calls(void);
int cases_iotlb(void);
int cases_suspend(void);

/* Before anything is set up: the driver's memory is these TARGET_RAM bytes, which stay the test's.
 */
void target_move_ram(struct target *t, void *bytes);

int t_ioctl(struct target *t, unsigned long cmd, void *arg);
int t_num(struct target *t, unsigned long cmd, unsigned index, unsigned num);
/* A vring ioctl's answer; asserts success. */
unsigned t_get(struct target *t, unsigned long cmd, unsigned index);
int t_status(struct target *t, uint8_t status);
uint8_t t_get_status(struct target *t);
int t_fd(struct target *t, unsigned long cmd, unsigned index, int fd);
int t_features(struct target *t, uint64_t features);
int t_backend(struct target *t, uint64_t features);
int t_owner(struct target *t);
int t_addr(struct target *t, unsigned index, uint64_t desc, uint64_t avail, uint64_t used);
int t_suspend(struct target *t);
int t_resume(struct target *t);
/* IOTLB messages, version 2: 72 or an errno. */
ssize_t t_msg(struct target *t, unsigned asid, uint8_t type, uint64_t iova, uint64_t size,
	      uint64_t uaddr, uint8_t perm);
ssize_t t_map_ram(struct target *t, unsigned asid);

/* From open to FEATURES_OK with owner, and from there to DRIVER_OK with rings. */
void t_negotiate(struct target *t);
void t_rings(struct target *t);
/* Everything. */
void t_up(struct target *t);
void t_bind(struct target *t);

/* Posts a read of one sector without a kick; kicks; waits until `count` more are used. */
void t_post(struct target *t, unsigned queue);
void t_kick(struct target *t, unsigned queue);
bool t_used(struct target *t, unsigned queue, unsigned total);
/* Gives the device ample time to do what it must not; asserts that `total` stays. */
void t_still(struct target *t, unsigned queue, unsigned total);
void t_drain(int eventfd);
uint64_t t_count(int eventfd);
/* A call, which comes after the used index that it tells of: waits for it, and takes it. */
void t_called(int eventfd);

#endif
