/*
 * Every vhost-vdpa call as it is: no state is kept, nothing is checked, the device's answer comes
 * back. Included by <uvdpa/driver.h>, whose conventions hold: 0 or a negative errno, from any
 * thread.
 *
 * For checkers and experiments. A call made here is not seen by the uvdpa_driver_*()
 * functions: uvdpa_set_status(drv, 0), for one, leaves the queues attached in their eyes.
 *
 * Owner: whether the caller has to own the device (-EPERM if not); device calls need no ownership
 * (linux: vhost_vdpa_unlocked_ioctl()). Calls about a queue answer -ENOBUFS for an index out of
 * range. What has no function here because vhost-vdpa refuses or ignores it (memory table, log,
 * endianness, busy loop, workers, feature arrays, fork owner) goes through uvdpa_ioctl().
 */
#ifndef UVDPA_DRIVER_RAW_H
#define UVDPA_DRIVER_RAW_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct uvdpa_driver;

/* Any ioctl. Returns what the transport does: >= 0 or a negative errno. */
int uvdpa_ioctl(struct uvdpa_driver *drv, unsigned long cmd, void *arg);
/* Any write: an IOTLB message or what pretends to be one. The kernel answers 72 for success. */
ssize_t uvdpa_write(struct uvdpa_driver *drv, const void *buf, size_t len);

/* Device calls: no ownership needed -------------------------------------------------------- */

/* VHOST_VDPA_GET_DEVICE_ID. linux: vhost_vdpa_get_device_id() */
int uvdpa_get_device_id(struct uvdpa_driver *drv, uint32_t *id);

/* VHOST_VDPA_GET_STATUS. Suspension does not show in it. linux: vhost_vdpa_get_status() */
int uvdpa_get_status(struct uvdpa_driver *drv, uint8_t *status);
/*
 * VHOST_VDPA_SET_STATUS: 0 resets; -EINVAL if a set bit would go away otherwise. A refusal by
 * the device shows only in uvdpa_get_status(). linux: vhost_vdpa_set_status()
 */
int uvdpa_set_status(struct uvdpa_driver *drv, uint8_t status);

/*
 * VHOST_VDPA_GET_CONFIG, SET_CONFIG: `len` bytes of config space at `offset`. -EINVAL: len 0 or
 * not inside the space; -E2BIG: over 4096 (use uvdpa_ioctl()). linux: vhost_vdpa_get_config()
 */
int uvdpa_get_config(struct uvdpa_driver *drv, uint32_t offset, void *buf, uint32_t len);
int uvdpa_set_config(struct uvdpa_driver *drv, uint32_t offset, const void *buf, uint32_t len);
/* VHOST_VDPA_GET_CONFIG_SIZE, in bytes. linux: vhost_vdpa_get_config_size() */
int uvdpa_get_config_size(struct uvdpa_driver *drv, uint32_t *size);
/* VHOST_VDPA_SET_CONFIG_CALL: `fd` an eventfd (not consumed), -1 none. -EBADF, -EINVAL. */
int uvdpa_set_config_call(struct uvdpa_driver *drv, int fd);

/* VHOST_GET_FEATURES: what is offered. */
int uvdpa_get_features(struct uvdpa_driver *drv, uint64_t *features);
/* VHOST_SET_FEATURES: -EBUSY after FEATURES_OK, -EINVAL if refused. linux:
 * vhost_vdpa_set_features() */
int uvdpa_set_features(struct uvdpa_driver *drv, uint64_t features);
/* VHOST_GET_BACKEND_FEATURES: 1 << VHOST_BACKEND_F_*. */
int uvdpa_get_backend_features(struct uvdpa_driver *drv, uint64_t *features);
/* VHOST_SET_BACKEND_FEATURES: replaces the set. -EOPNOTSUPP, -EINVAL. */
int uvdpa_set_backend_features(struct uvdpa_driver *drv, uint64_t features);

/* VHOST_VDPA_GET_VRING_NUM: the largest queue size. linux: vhost_vdpa_get_vring_num() */
int uvdpa_get_vring_num(struct uvdpa_driver *drv, uint16_t *num);
/* VHOST_VDPA_GET_VQS_COUNT. linux: vhost_vdpa_get_vqs_count() */
int uvdpa_get_vqs_count(struct uvdpa_driver *drv, uint32_t *count);
/* VHOST_VDPA_GET_IOVA_RANGE: both ends inclusive. linux: vhost_vdpa_get_iova_range() */
int uvdpa_get_iova_range(struct uvdpa_driver *drv, uint64_t *first, uint64_t *last);
/* VHOST_VDPA_GET_GROUP_NUM, VHOST_VDPA_GET_AS_NUM. */
int uvdpa_get_group_num(struct uvdpa_driver *drv, uint32_t *groups);
int uvdpa_get_as_num(struct uvdpa_driver *drv, uint32_t *spaces);

/* VHOST_VDPA_SUSPEND, _IO(0xAF, 0x7D): clause S1. linux: vhost_vdpa_suspend() */
int uvdpa_suspend(struct uvdpa_driver *drv);
/*
 * The same number as the series that introduced it first had it, _IOW(0xAF, 0x7D, int): non-zero
 * suspends, zero resumes (clause S1). Today's kernels answer as to any unknown number.
 */
int uvdpa_suspend_v6(struct uvdpa_driver *drv, int value);
/* VHOST_VDPA_RESUME, _IO(0xAF, 0x7E): clause S11. linux: vhost_vdpa_resume() */
int uvdpa_resume(struct uvdpa_driver *drv);

/* Ownership --------------------------------------------------------------------------------- */

/* VHOST_SET_OWNER: -EBUSY if there is an owner, be it the caller. linux: vhost_dev_set_owner() */
int uvdpa_set_owner(struct uvdpa_driver *drv);
/* VHOST_RESET_OWNER, which vhost-vdpa treats as unknown: never succeeds there. */
int uvdpa_reset_owner(struct uvdpa_driver *drv);

/* Calls about one queue: owner only. linux: vhost_vdpa_vring_ioctl() -------------------------- */

/* VHOST_SET_VRING_NUM: the queue's size. -EINVAL: too big, or no power of two (of packed rings
 * some devices take others, too). */
int uvdpa_set_vring_num(struct uvdpa_driver *drv, unsigned index, uint32_t num);
/*
 * VHOST_SET_VRING_ADDR: the three areas' IOVAs. -EINVAL: misaligned, or running and not suspended;
 * -EOPNOTSUPP: flags other than VHOST_VRING_F_LOG.
 */
int uvdpa_set_vring_addr(struct uvdpa_driver *drv, unsigned index, uint32_t flags, uint64_t desc,
			 uint64_t avail, uint64_t used, uint64_t log);
/* VHOST_SET_VRING_BASE: see uvdpa_driver_attach(). -EINVAL: split and over 65535, or running. */
int uvdpa_set_vring_base(struct uvdpa_driver *drv, unsigned index, uint32_t base);
/* VHOST_GET_VRING_BASE: where the device stands; a snapshot unless suspended (clause S6). */
int uvdpa_get_vring_base(struct uvdpa_driver *drv, unsigned index, uint32_t *base);
/*
 * VHOST_SET_VRING_KICK, CALL, ERR: `fd` an eventfd (not consumed), -1 unbinds. -EBADF, -EINVAL.
 * Binding a kick whose counter is not 0 is a kick.
 */
int uvdpa_set_vring_kick(struct uvdpa_driver *drv, unsigned index, int fd);
int uvdpa_set_vring_call(struct uvdpa_driver *drv, unsigned index, int fd);
int uvdpa_set_vring_err(struct uvdpa_driver *drv, unsigned index, int fd);
/* VHOST_VDPA_SET_VRING_ENABLE: non-zero makes the queue ready. */
int uvdpa_set_vring_enable(struct uvdpa_driver *drv, unsigned index, uint32_t enable);
/* VHOST_VDPA_GET_VRING_SIZE: the present size; -EOPNOTSUPP on many devices. */
int uvdpa_get_vring_size(struct uvdpa_driver *drv, unsigned index, uint32_t *size);
/* VHOST_VDPA_GET_VRING_GROUP, GET_VRING_DESC_GROUP: which group a queue (its rings) is in. */
int uvdpa_get_vring_group(struct uvdpa_driver *drv, unsigned index, uint32_t *group);
int uvdpa_get_vring_desc_group(struct uvdpa_driver *drv, unsigned index, uint32_t *group);
/* VHOST_VDPA_SET_GROUP_ASID: -EINVAL, -ENOBUFS; -EBUSY with DRIVER_OK on Linux 7. */
int uvdpa_set_group_asid(struct uvdpa_driver *drv, unsigned group, uint32_t asid);

/* IOTLB messages: owner only, -EFAULT if refused. linux: vhost_vdpa_process_iotlb_msg() -------- */

struct uvdpa_iotlb {
	uint32_t version; /* 1 or 2: struct vhost_msg or struct vhost_msg_v2 */
	uint32_t asid; /* version 2 only, and honoured only with VHOST_BACKEND_F_IOTLB_ASID acked */
	uint64_t iova, size, uaddr;
	uint8_t perm; /* VHOST_ACCESS_RO 1, WO 2, RW 3 */
	uint8_t kind; /* VHOST_IOTLB_UPDATE 2, INVALIDATE 3, BATCH_BEGIN 5, BATCH_END 6 */
};

/* Sends one message. -EIO: taken, but not with the 72 bytes that mean success. */
int uvdpa_iotlb_send(struct uvdpa_driver *drv, const struct uvdpa_iotlb *message);
/* The four kinds, as version 2. `uaddr` is an address of this process. */
int uvdpa_iotlb_update(struct uvdpa_driver *drv, uint32_t asid, uint64_t iova, uint64_t size,
		       const void *uaddr, uint8_t perm);
int uvdpa_iotlb_invalidate(struct uvdpa_driver *drv, uint32_t asid, uint64_t iova, uint64_t size);
int uvdpa_iotlb_batch_begin(struct uvdpa_driver *drv, uint32_t asid);
int uvdpa_iotlb_batch_end(struct uvdpa_driver *drv, uint32_t asid);

#ifdef __cplusplus
}
#endif

#endif
