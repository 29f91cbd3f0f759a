/* The transport over a vhost-user socket: see vhost_user.h. */
#include "driver/vhost_user_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/connection.h"
#include "driver/error.h"

#define PROTOCOL_WANTED                                                                     \
	(VU_BIT(VHOST_USER_PROTOCOL_F_MQ) | VU_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |       \
	 VU_BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) | VU_BIT(VHOST_USER_PROTOCOL_F_CONFIG) | \
	 VU_BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |                                \
	 VU_BIT(VHOST_USER_PROTOCOL_F_STATUS) | VU_BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE))
/* Without acknowledgements nobody knows when a request has taken effect. */
#define PROTOCOL_NEEDED VU_BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK)

#define BACKEND_FEATURES                                                              \
	(VU_BIT(VHOST_BACKEND_F_IOTLB_MSG_V2) | VU_BIT(VHOST_BACKEND_F_IOTLB_BATCH) | \
	 VU_BIT(VHOST_BACKEND_F_SUSPEND) | VU_BIT(VHOST_BACKEND_F_RESUME))

/* No message tells the device type; a network card offers a control queue or mergeable buffers. */
static uint32_t guess_device_id(const struct vu_front *front)
{
	uint64_t net = VU_BIT(VIRTIO_NET_F_CTRL_VQ) | VU_BIT(VIRTIO_NET_F_MRG_RXBUF);

	if (front->device_id)
		return front->device_id;
	return front->offered & net ? VIRTIO_ID_NET : VIRTIO_ID_BLOCK;
}

static int set_features(struct vu_front *front, uint64_t features)
{
	uint64_t word = (features & ~VU_BIT(VIRTIO_F_ACCESS_PLATFORM)) |
			VU_BIT(VHOST_USER_F_PROTOCOL_FEATURES);
	int r = vu_set_u64(front, VHOST_USER_SET_FEATURES, word);

	if (r == 0)
		front->acked = features;
	return r;
}

static int config(struct vu_front *front, uint32_t request, struct vhost_vdpa_config *c)
{
	union vhost_user_payload p = {.config = {.offset = c->off, .size = c->len}};
	bool get = request == VHOST_USER_GET_CONFIG;
	int r;

	if (!vu_has(front, VHOST_USER_PROTOCOL_F_CONFIG))
		return -EOPNOTSUPP;
	if (!c->len || c->len > VHOST_USER_CONFIG_MAX)
		return -EINVAL;
	if (!get)
		memcpy(p.config.bytes, c->buf, c->len);
	if (!get)
		return vu_request(front, request, &p, VHOST_USER_CONFIG_HEADER + c->len, NULL, 0);
	r = vu_ask(front, request, &p, VHOST_USER_CONFIG_HEADER + c->len,
		   VHOST_USER_CONFIG_HEADER + c->len);
	if (r == 0 && (p.config.offset != c->off || p.config.size != c->len))
		r = -EPROTO;
	if (r == 0)
		memcpy(c->buf, p.config.bytes, c->len);
	return r;
}

static uint32_t config_size(const struct vu_front *front)
{
	if (!vu_has(front, VHOST_USER_PROTOCOL_F_CONFIG))
		return 0;
	switch (guess_device_id(front)) {
	case VIRTIO_ID_NET:
		return sizeof(struct virtio_net_config);
	case VIRTIO_ID_BLOCK:
		return sizeof(struct virtio_blk_config);
	default:
		return VHOST_USER_CONFIG_MAX;
	}
}

static int set_config_call(struct vu_front *front, int fd)
{
	int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (fd >= 0 && copy < 0)
		return -errno;
	pthread_mutex_lock(&front->call_lock);
	if (front->config_call >= 0)
		close(front->config_call);
	front->config_call = copy;
	pthread_mutex_unlock(&front->call_lock);
	return 0;
}

/* What the protocol has no request for. Returns -ENOIOCTLCMD's sense as -ENOTTY. */
static int answer_here(struct vu_front *front, unsigned long cmd, void *arg)
{
	switch (cmd) {
	case VHOST_VDPA_GET_DEVICE_ID:
		*(uint32_t *)arg = guess_device_id(front);
		return 0;
	case VHOST_VDPA_GET_VQS_COUNT:
		*(uint32_t *)arg = front->ring_count;
		return 0;
	case VHOST_VDPA_GET_VRING_NUM:
		return vu_front_ring_max(front, arg);
	case VHOST_VDPA_GET_GROUP_NUM:
	case VHOST_VDPA_GET_AS_NUM:
		*(uint32_t *)arg = 1;
		return 0;
	case VHOST_VDPA_GET_CONFIG_SIZE:
		*(uint32_t *)arg = config_size(front);
		return 0;
	case VHOST_VDPA_GET_IOVA_RANGE:
		*(struct vhost_vdpa_iova_range *)arg =
			(struct vhost_vdpa_iova_range){.first = 0, .last = UINT64_MAX};
		return 0;
	case VHOST_GET_BACKEND_FEATURES:
		*(uint64_t *)arg = BACKEND_FEATURES;
		return 0;
	case VHOST_SET_BACKEND_FEATURES:
		if (*(const uint64_t *)arg & ~BACKEND_FEATURES)
			return -EOPNOTSUPP;
		front->backend_features = *(const uint64_t *)arg;
		return 0;
	default:
		return -ENOTTY;
	}
}

static int device_ioctl(struct vu_front *front, unsigned long cmd, void *arg)
{
	switch (cmd) {
	case VHOST_SET_OWNER:
		return vu_request(front, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0);
	case VHOST_GET_FEATURES:
		*(uint64_t *)arg = (front->offered & ~VU_BIT(VHOST_USER_F_PROTOCOL_FEATURES) &
				    ~VU_BIT(VHOST_F_LOG_ALL)) |
				   VU_BIT(VIRTIO_F_ACCESS_PLATFORM);
		return 0;
	case VHOST_SET_FEATURES:
		return set_features(front, *(const uint64_t *)arg);
	case VHOST_VDPA_GET_STATUS:
		return vu_front_get_status(front, arg);
	case VHOST_VDPA_SET_STATUS:
		return vu_front_set_status(front, *(const uint8_t *)arg);
	case VHOST_VDPA_GET_CONFIG:
		return config(front, VHOST_USER_GET_CONFIG, arg);
	case VHOST_VDPA_SET_CONFIG:
		return config(front, VHOST_USER_SET_CONFIG, arg);
	case VHOST_VDPA_SET_CONFIG_CALL:
		return set_config_call(front, *(const int *)arg);
	case VHOST_VDPA_SUSPEND:
		return vu_front_suspend(front);
	case VHOST_VDPA_RESUME:
		return vu_front_resume(front);
	case VHOST_SET_VRING_NUM:
	case VHOST_SET_VRING_BASE:
	case VHOST_GET_VRING_BASE:
	case VHOST_SET_VRING_ADDR:
	case VHOST_SET_VRING_KICK:
	case VHOST_SET_VRING_CALL:
	case VHOST_SET_VRING_ERR:
	case VHOST_VDPA_SET_VRING_ENABLE:
	case VHOST_VDPA_GET_VRING_GROUP:
	case VHOST_VDPA_SET_GROUP_ASID:
		return vu_front_ring_ioctl(front, cmd, arg);
	default:
		return answer_here(front, cmd, arg);
	}
}

static int front_ioctl(void *ctx, unsigned long cmd, void *arg)
{
	struct vu_front *front = ctx;
	int r;

	pthread_mutex_lock(&front->lock);
	r = device_ioctl(front, cmd, arg);
	pthread_mutex_unlock(&front->lock);
	return r;
}

static int run_iotlb(struct vu_front *front, const struct vhost_iotlb_msg *m)
{
	switch (m->type) {
	case VHOST_IOTLB_UPDATE:
		return vu_front_map(front, m->iova, m->size, m->uaddr);
	case VHOST_IOTLB_INVALIDATE:
		return vu_front_unmap(front, m->iova, m->size);
	case VHOST_IOTLB_BATCH_BEGIN:
	case VHOST_IOTLB_BATCH_END:
		return 0; /* each region takes effect as it comes */
	default:
		return -EINVAL;
	}
}

static ssize_t front_write(void *ctx, const void *buf, size_t len)
{
	struct vu_front *front = ctx;
	const struct vhost_msg_v2 *v2 = buf;
	const struct vhost_msg *v1 = buf;
	int r;

	if (len < sizeof(*v2))
		return -EINVAL;
	if (v2->type != VHOST_IOTLB_MSG && v2->type != VHOST_IOTLB_MSG_V2)
		return -EINVAL;
	pthread_mutex_lock(&front->lock);
	r = run_iotlb(front, v2->type == VHOST_IOTLB_MSG ? &v1->iotlb : &v2->iotlb);
	pthread_mutex_unlock(&front->lock);
	return r < 0 ? r : (ssize_t)sizeof(*v2);
}

static void front_close(void *ctx)
{
	struct vu_front *front = ctx;

	vu_front_unlisten(front);
	if (front->fd >= 0)
		close(front->fd);
	vu_front_rings_reset(front);
	set_config_call(front, -1);
	pthread_mutex_destroy(&front->lock);
	pthread_mutex_destroy(&front->call_lock);
	free(front);
}

static const struct uvdpa_transport front_transport = {front_ioctl, front_write, front_close};

void drv_vhost_user_busy_poll(struct uvdpa_driver *drv, bool on)
{
	struct vu_front *front = drv->ctx;

	if (drv->ops != &front_transport)
		return;
	pthread_mutex_lock(&front->lock);
	front->hurry = on;
	pthread_mutex_unlock(&front->lock);
}

void drv_vhost_user_batch_begin(struct uvdpa_driver *drv)
{
	struct vu_front *front = drv->ctx;

	if (drv->ops != &front_transport)
		return;
	pthread_mutex_lock(&front->lock);
	vu_batch_begin(front);
	pthread_mutex_unlock(&front->lock);
}

int drv_vhost_user_batch_end(struct uvdpa_driver *drv)
{
	struct vu_front *front = drv->ctx;
	int r;

	if (drv->ops != &front_transport)
		return 0;
	pthread_mutex_lock(&front->lock);
	r = vu_batch_end(front);
	pthread_mutex_unlock(&front->lock);
	return r;
}

bool drv_vhost_user_is(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

const char *drv_vhost_user_lost(struct uvdpa_driver *drv)
{
	struct vu_front *front = drv->ctx;
	bool lost;

	if (drv->ops != &front_transport)
		return NULL;
	pthread_mutex_lock(&front->lock);
	lost = front->end.code;
	pthread_mutex_unlock(&front->lock);
	return lost ? front->end.text : NULL; /* it stays as it is */
}

pid_t drv_vhost_user_peer(const void *ctx)
{
	const struct vu_front *front = ctx;
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);

	return getsockopt(front->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ? 0 : peer.pid;
}

/* -EAGAIN: others wait already, and nobody takes them in time. */
static int connect_to(struct vu_front *front, const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	memcpy(at.sun_path, path, strlen(path) + 1);
	front->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (front->fd < 0)
		return -errno;
	vu_bound(front);
	return connect(front->fd, (struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
}

/*
 * A network card's back end that has no config space (DPDK's) counts pairs of rings. Without MQ the
 * number is what every device of the kind has.
 */
static void count_rings(struct vu_front *front, uint64_t count)
{
	if (!vu_has(front, VHOST_USER_PROTOCOL_F_MQ))
		count = guess_device_id(front) == VIRTIO_ID_BLOCK ? 1 : 2;
	else if (!vu_has(front, VHOST_USER_PROTOCOL_F_CONFIG) &&
		 guess_device_id(front) == VIRTIO_ID_NET && count <= VU_MAX_RINGS)
		count *= 2;
	front->ring_count = count < VU_MAX_RINGS ? (unsigned)count : VU_MAX_RINGS;
}

static int count_regions(struct vu_front *front)
{
	uint64_t slots = VHOST_USER_TABLE_REGIONS;
	int r = 0;

	if (vu_has(front, VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))
		r = vu_get_u64(front, VHOST_USER_GET_MAX_MEM_SLOTS, &slots);
	front->map_max = slots < VU_MAX_MAPS ? (unsigned)slots : VU_MAX_MAPS;
	return r;
}

/* Features, protocol features, how many rings and regions, and the device's own channel. */
static int handshake(struct vu_front *front, const char *path, struct uvdpa_error *error)
{
	uint64_t offered = 0, rings = 0;
	int r = vu_get_u64(front, VHOST_USER_GET_FEATURES, &front->offered);

	if (r == 0 && front->offered & VU_BIT(VHOST_USER_F_PROTOCOL_FEATURES))
		r = vu_get_u64(front, VHOST_USER_GET_PROTOCOL_FEATURES, &offered);
	if (r == 0 && (offered & PROTOCOL_NEEDED) != PROTOCOL_NEEDED)
		return drv_error(error, -ENOTSUP,
				 "%s: offers protocol features 0x%llx, 0x%llx are needed", path,
				 (unsigned long long)offered, (unsigned long long)PROTOCOL_NEEDED);
	if (r == 0)
		r = vu_set_u64(front, VHOST_USER_SET_PROTOCOL_FEATURES, offered & PROTOCOL_WANTED);
	front->protocol = offered & PROTOCOL_WANTED;
	if (r == 0 && vu_has(front, VHOST_USER_PROTOCOL_F_MQ))
		r = vu_get_u64(front, VHOST_USER_GET_QUEUE_NUM, &rings);
	count_rings(front, rings);
	if (r == 0)
		r = count_regions(front);
	if (r == 0 && vu_has(front, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		r = vu_front_listen(front);
	if (front->end.code)
		return drv_error(error, front->end.code, "%s: %s", path, front->end.text);
	if (r < 0)
		return drv_error(error, r, "%s: vhost-user negotiation: %s", path, strerror(-r));
	if (!front->ring_count)
		return drv_error(error, -ENODEV, "%s: has no queues (GET_QUEUE_NUM answers 0)",
				 path);
	return 0;
}

static struct vu_front *front_new(const struct uvdpa_open_options *options)
{
	struct vu_front *front = calloc(1, sizeof(*front));

	if (!front)
		return NULL;
	pthread_mutex_init(&front->lock, NULL);
	pthread_mutex_init(&front->call_lock, NULL);
	front->notices = front->config_call = -1;
	for (unsigned i = 0; i < VU_MAX_RINGS; i++)
		front->rings[i].kick = front->rings[i].call = -1;
	front->fd = -1;
	front->opening = true;
	front->device_id = options->device_id;
	front->on_message = options->on_message;
	front->on_lost = options->on_lost;
	front->arg = options->arg;
	front->answer_ms = options->answer_ms ? options->answer_ms : VU_ANSWER_MS;
	return front;
}

/* The connection is there: becomes a transport, or ends. */
static int begin(struct vu_front *front, const char *name, const struct uvdpa_transport **ops,
		 void **ctx, struct uvdpa_error *error)
{
	int r = handshake(front, name, error);

	if (r < 0) {
		front_close(front);
		return r;
	}
	front->opening = false;
	*ops = &front_transport;
	*ctx = front;
	return 0;
}

int drv_vhost_user_take(int fd, const char *name, const struct uvdpa_open_options *options,
			const struct uvdpa_transport **ops, void **ctx, struct uvdpa_error *error)
{
	struct vu_front *front = front_new(options);

	if (!front) {
		close(fd);
		return drv_error(error, -ENOMEM, "%s: no memory for a connection", name);
	}
	front->fd = fd;
	vu_bound(front);
	return begin(front, name, ops, ctx, error);
}

int drv_vhost_user_open(const char *path, const struct uvdpa_open_options *options,
			const struct uvdpa_transport **ops, void **ctx, struct uvdpa_error *error)
{
	struct vu_front *front = front_new(options);
	unsigned limit;
	int r;

	if (!front)
		return drv_error(error, -ENOMEM, "%s: no memory for a connection", path);
	r = connect_to(front, path);
	if (r == 0)
		return begin(front, path, ops, ctx, error);
	limit = front->answer_ms;
	front_close(front);
	if (r == -EAGAIN)
		return drv_error(
			error, -EBUSY,
			"%s: takes no connection within %.1f s: busy with another front end", path,
			limit / 1000.0);
	return drv_error(error, r, "%s: cannot connect: %s", path, strerror(-r));
}
