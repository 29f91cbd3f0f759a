/* What the files of the vhost-vdpa table share: an open file, and a call to it. */
#ifndef UVDPA_EXPORT_VDPA_VDPA_INTERNAL_H
#define UVDPA_EXPORT_VDPA_VDPA_INTERNAL_H

#include "device/device.h"
#include "export/vdpa/vdpa.h"
#include "runtime/runtime.h"
#include "memory/dirty.h"
#include "wire/vhost.h"

/* The kernel's own record of an address space, beside the device's: see vdpa_iotlb.c. */
struct iotlb_entry {
	uint64_t iova, last, uaddr;
	uint8_t perm;
	struct pieces *resolved; /* within a call: for the device, which takes it over */
};
struct iotlb {
	bool created; /* named by UPDATE or BATCH_BEGIN since open */
	bool wiped;   /* the device has forgotten what is here (reset without IOTLB_PERSIST) */
	struct iotlb_entry *entries; /* sorted */
	unsigned count, room;
};

struct vdpa_file {
	struct runtime *runtime;
	struct device *device; /* for callbacks, which come with the runtime's lock held */
	struct vdpa_options options;
	struct owner *owner;	   /* NULL: none yet */
	uint64_t features;	   /* acked; survives reset, decides how vring bases look */
	uint64_t backend_features; /* acked */
	uint32_t busyloop[DEVICE_MAX_QUEUES]; /* stored and read back, no effect */
	uint8_t fork_from_owner;	      /* likewise */

	struct iotlb iotlbs[DEVICE_MAX_ASIDS];
	bool in_batch;
	unsigned batch_asid;

	/* log=on: vdpa_log.c */
	struct dirty_log log;
	bool logging, has_log;		   /* LOG_ALL is acknowledged; SET_LOG_BASE was called */
	bool logs_used[DEVICE_MAX_QUEUES]; /* VHOST_VRING_F_LOG ... */
	uint64_t used_logged_at[DEVICE_MAX_QUEUES]; /* ... as if the used ring were there */

	/* Of the one call under way. */
	vdpa_reply reply;
	void *reply_arg;
	struct runtime_after answer; /* ... that comes later, with this result: see vdpa_answer */
	int answer_result;
	device_done released;
	void *released_arg;
};

/* One ioctl under way. */
struct call {
	const struct vdpa_call *vdpa;
	struct caller *caller;
	unsigned index; /* of the vring, where it is a vring's */
	uint8_t out[16];
	size_t out_size;
};

/* A handler's result: the answer comes through vdpa_answer. */
#define CALL_LATER 1

/* Bytes [offset, offset + size) of what the argument points to. 0 or -EFAULT. */
int call_fetch(struct call *call, uint64_t offset, void *to, size_t size);
/* The answer's bytes, stored at the argument by the export. Returns 0. */
int call_give(struct call *call, const void *out, size_t size);
/* The eventfd that the caller named, as a descriptor of ours; -1 for none. -EBADF, -EINVAL. */
int call_eventfd(struct call *call, int fd, int *ours);

/* device_done for verbs that answer later; arg is the file. Runtime locked, as for all of them. */
void vdpa_answer(void *arg, int result);

/* vdpa_device.c: ioctls of the device, and of the file's owner */
int vdpa_get_device_id(struct vdpa_file *file, struct call *call);
int vdpa_get_status(struct vdpa_file *file, struct call *call);
int vdpa_set_status(struct vdpa_file *file, struct call *call);
int vdpa_get_config(struct vdpa_file *file, struct call *call);
int vdpa_set_config(struct vdpa_file *file, struct call *call);
int vdpa_get_features(struct vdpa_file *file, struct call *call);
int vdpa_set_features(struct vdpa_file *file, struct call *call);
int vdpa_get_backend_features(struct vdpa_file *file, struct call *call);
int vdpa_set_backend_features(struct vdpa_file *file, struct call *call);
int vdpa_get_vring_num(struct vdpa_file *file, struct call *call);
int vdpa_set_config_call(struct vdpa_file *file, struct call *call);
int vdpa_get_iova_range(struct vdpa_file *file, struct call *call);
int vdpa_get_config_size(struct vdpa_file *file, struct call *call);
int vdpa_get_vqs_count(struct vdpa_file *file, struct call *call);
int vdpa_get_group_num(struct vdpa_file *file, struct call *call);
int vdpa_get_as_num(struct vdpa_file *file, struct call *call);
int vdpa_suspend(struct vdpa_file *file, struct call *call);
int vdpa_suspend_v6(struct vdpa_file *file, struct call *call);
int vdpa_resume(struct vdpa_file *file, struct call *call);
int vdpa_set_owner(struct vdpa_file *file, struct call *call);
int vdpa_set_fork_from_owner(struct vdpa_file *file, struct call *call);
int vdpa_get_fork_from_owner(struct vdpa_file *file, struct call *call);
int vdpa_set_mem_table(struct vdpa_file *file, struct call *call);

/* vdpa_log.c */
int vdpa_set_log_base(struct vdpa_file *file, struct call *call);
/* What SET_FEATURES says of VHOST_F_LOG_ALL. Runtime locked. */
void vdpa_log_features(struct vdpa_file *file, uint64_t features);
/* What SET_VRING_ADDR says. Runtime locked. */
void vdpa_log_vring(struct vdpa_file *file, unsigned index, bool log, uint64_t at);
#define VDPA_LOG_ALL (1ull << VHOST_F_LOG_ALL)

/* vdpa_vring.c: ioctls of one vring; call->index is in range */
int vdpa_set_vring_num(struct vdpa_file *file, struct call *call);
int vdpa_set_vring_addr(struct vdpa_file *file, struct call *call);
int vdpa_set_vring_base(struct vdpa_file *file, struct call *call);
int vdpa_get_vring_base(struct vdpa_file *file, struct call *call);
int vdpa_set_vring_kick(struct vdpa_file *file, struct call *call);
int vdpa_set_vring_call(struct vdpa_file *file, struct call *call);
int vdpa_set_vring_err(struct vdpa_file *file, struct call *call);
int vdpa_set_vring_busyloop(struct vdpa_file *file, struct call *call);
int vdpa_get_vring_busyloop(struct vdpa_file *file, struct call *call);
int vdpa_set_vring_enable(struct vdpa_file *file, struct call *call);
int vdpa_get_vring_group(struct vdpa_file *file, struct call *call);
int vdpa_get_vring_desc_group(struct vdpa_file *file, struct call *call);
int vdpa_set_group_asid(struct vdpa_file *file, struct call *call);
int vdpa_get_vring_size(struct vdpa_file *file, struct call *call);

/* vdpa_iotlb.c */
/* The device forgets all mappings, the file does not. Runtime locked. */
void iotlb_wipe(struct vdpa_file *file);
void iotlb_free(struct vdpa_file *file);

#endif
