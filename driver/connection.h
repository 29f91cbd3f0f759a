/* The connection's insides, for the files that open it, run its life cycle, and hand it over. */
#ifndef UVDPA_DRIVER_CONNECTION_H
#define UVDPA_DRIVER_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "uvdpa/driver.h"

/* What a device claims to have more of than this is cut: a device is a stranger. */
#define DRV_MAX_QUEUES 1024
#define DRV_MAX_MAPS   16

struct drv_map {
	struct uvdpa_memory *memory; /* a reference; NULL: free */
	uint32_t asid;
};

struct uvdpa_driver {
	const struct uvdpa_transport *ops;
	void *ctx;
	char *name;
	uint32_t device_id;
	pid_t peer; /* 0: unknown */
	uint64_t features;
	uint64_t backend_features;
	bool negotiated; /* FEATURES_OK was kept */
	bool suspended;
	struct drv_map maps[DRV_MAX_MAPS];
	struct uvdpa_queue **queues; /* by index; NULL: none attached */
	uint64_t *announced;	     /* by index: the queue whose NUM, ADDR and CALL are set; 0 */
	unsigned queue_count;
};

/* The transport that ioctl(2)s a file: /dev/vhost-vdpa-N or a file of uvdpa's. The fd is the ctx.
 */
int drv_file_open(const char *path, bool read_only, const struct uvdpa_transport **ops, void **ctx,
		  struct uvdpa_error *error);

/* In words: why a call answered `r`, a negative errno. */
const char *drv_reason(struct uvdpa_driver *drv, int r);

/* Takes every queue off, and forgets what was announced; the device is not told. */
void drv_detach_all(struct uvdpa_driver *drv);
/* Sets what does not depend on where the queue stands: NUM, ADDR, CALL, KICK. */
int drv_setup_queue(struct uvdpa_driver *drv, unsigned index, struct uvdpa_queue *queue,
		    struct uvdpa_error *error);
/* uvdpa_driver_attach(), without what is announced already. */
int drv_attach(struct uvdpa_driver *drv, unsigned index, struct uvdpa_queue *queue, uint32_t base,
	       struct uvdpa_error *error);
/* Status 0: as uvdpa_driver_reset(), but what is mapped stays mapped. */
int drv_stop(struct uvdpa_driver *drv);
/* Takes away all mappings. */
void drv_unmap_all(struct uvdpa_driver *drv);
/* Forgets every mapping; the device is not told. */
void drv_forget_maps(struct uvdpa_driver *drv);
/* Sets DRIVER_OK; sees whether the device kept it. No kicks. */
int drv_set_driver_ok(struct uvdpa_driver *drv, struct uvdpa_error *error);
int drv_see_driver_ok(struct uvdpa_driver *drv, struct uvdpa_error *error);
/* Kicks every attached queue. 0 or the first error. */
int drv_kick_all(struct uvdpa_driver *drv);

#endif
