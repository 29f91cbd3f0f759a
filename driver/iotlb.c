/* IOTLB messages in both versions: see uvdpa/driver_raw.h. */
#include "uvdpa/driver_raw.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "driver/connection.h"
#include "wire/vhost.h"

/* What a successful write answers (linux: vhost_chr_write_iter()), whichever the version. */
#define TAKEN 72

static_assert(sizeof(struct vhost_msg) == TAKEN, "struct vhost_msg is 72 bytes");
static_assert(sizeof(struct vhost_msg_v2) == TAKEN, "struct vhost_msg_v2 is 72 bytes");

int uvdpa_iotlb_send(struct uvdpa_driver *drv, const struct uvdpa_iotlb *m)
{
	struct vhost_iotlb_msg body = {
		.iova = m->iova,
		.size = m->size,
		.uaddr = m->uaddr,
		.perm = m->perm,
		.type = m->kind,
	};
	union {
		struct vhost_msg v1;
		struct vhost_msg_v2 v2;
	} wire;
	ssize_t n;

	memset(&wire, 0, sizeof(wire));
	if (m->version == VHOST_IOTLB_MSG) {
		wire.v1.type = VHOST_IOTLB_MSG;
		wire.v1.iotlb = body;
	} else {
		wire.v2.type = m->version;
		wire.v2.asid = m->asid;
		wire.v2.iotlb = body;
	}
	n = uvdpa_write(drv, &wire, sizeof(wire));
	if (n < 0)
		return (int)n;
	return n == TAKEN ? 0 : -EIO;
}

int uvdpa_iotlb_update(struct uvdpa_driver *drv, uint32_t asid, uint64_t iova, uint64_t size,
		       const void *uaddr, uint8_t perm)
{
	const struct uvdpa_iotlb m = {
		.version = VHOST_IOTLB_MSG_V2,
		.asid = asid,
		.iova = iova,
		.size = size,
		.uaddr = (uint64_t)(uintptr_t)uaddr,
		.perm = perm,
		.kind = VHOST_IOTLB_UPDATE,
	};

	return uvdpa_iotlb_send(drv, &m);
}

int uvdpa_iotlb_invalidate(struct uvdpa_driver *drv, uint32_t asid, uint64_t iova, uint64_t size)
{
	const struct uvdpa_iotlb m = {
		.version = VHOST_IOTLB_MSG_V2,
		.asid = asid,
		.iova = iova,
		.size = size,
		.kind = VHOST_IOTLB_INVALIDATE,
	};

	return uvdpa_iotlb_send(drv, &m);
}

static int batch(struct uvdpa_driver *drv, uint32_t asid, uint8_t kind)
{
	const struct uvdpa_iotlb m = {.version = VHOST_IOTLB_MSG_V2, .asid = asid, .kind = kind};

	return uvdpa_iotlb_send(drv, &m);
}

int uvdpa_iotlb_batch_begin(struct uvdpa_driver *drv, uint32_t asid)
{
	return batch(drv, asid, VHOST_IOTLB_BATCH_BEGIN);
}

int uvdpa_iotlb_batch_end(struct uvdpa_driver *drv, uint32_t asid)
{
	return batch(drv, asid, VHOST_IOTLB_BATCH_END);
}
