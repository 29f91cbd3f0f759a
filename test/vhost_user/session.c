/* A front end that keeps its memory over servers: see session.h. */
#include "vhost_user/session.h"

#include <assert.h>
#include <linux/virtio_blk.h>
#include <string.h>
#include <unistd.h>

static void must_ack(struct session *s, uint32_t request, const void *payload, uint32_t size,
		     const int *fds, unsigned fd_count)
{
	int64_t r = front_ack(s->fd, request, payload, size, fds, fd_count);

	assert(r == 0);
}

static void init(struct session *s, size_t memory, uint16_t ring, uint64_t features)
{
	struct uvdpa_error error;
	int r;

	memset(s, 0, sizeof(*s));
	s->fd = s->inflight_fd = -1;
	s->ring = ring;
	/* guest physical memory begins low, as a guest's does, so that dirty logs are small */
	r = uvdpa_memory_new(&(struct uvdpa_memory_options){.size = memory, .iova = 0x100000},
			     &s->memory, &error);
	assert(r == 0);
	r = uvdpa_queue_new(s->memory,
			    &(struct uvdpa_queue_options){.size = ring, .features = features},
			    &s->queue, &error);
	assert(r == 0);
}

void session_init(struct session *s, size_t memory)
{
	init(s, memory, SESSION_RING, 0);
}

void session_init_packed_of(struct session *s, size_t memory, uint16_t ring)
{
	init(s, memory, ring, 1ull << VIRTIO_F_RING_PACKED);
	s->packed = true;
}

void session_init_packed(struct session *s, size_t memory)
{
	session_init_packed_of(s, memory, SESSION_RING);
}

void session_free(struct session *s)
{
	session_hang_up(s);
	if (s->inflight_fd >= 0)
		close(s->inflight_fd);
	uvdpa_queue_free(s->queue);
	uvdpa_memory_free(s->memory);
}

static uint64_t user(const struct session *s, const void *ptr)
{
	return (uint64_t)(uintptr_t)ptr;
}

void session_send_memory(struct session *s)
{
	struct vhost_user_memory table = {.count = 1};
	int fd = uvdpa_memory_fd(s->memory);
	void *base = uvdpa_memory_base(s->memory);

	table.regions[0] = (struct vhost_user_region){
		.guest_address = uvdpa_memory_iova(s->memory, base),
		.size = uvdpa_memory_size(s->memory),
		.user_address = user(s, base),
	};
	must_ack(s, VHOST_USER_SET_MEM_TABLE, &table, 8 + 32, &fd, 1);
}

static void send_inflight(struct session *s)
{
	struct front_message answer;
	int r;

	if (s->inflight_fd < 0) {
		s->inflight = (struct vhost_user_inflight){
			.queues = 1, .queue_size = s->record_size ? s->record_size : s->ring};
		r = front_ask(s->fd, VHOST_USER_GET_INFLIGHT_FD, &s->inflight, sizeof(s->inflight),
			      &answer);
		assert(r == 0 && answer.fd_count == 1);
		s->inflight = answer.payload.inflight;
		s->inflight_fd = answer.fds[0];
	}
	must_ack(s, VHOST_USER_SET_INFLIGHT_FD, &s->inflight, sizeof(s->inflight), &s->inflight_fd,
		 1);
}

void session_send_addr(struct session *s)
{
	struct uvdpa_queue_areas a;
	struct vhost_vring_addr addr = {.flags = s->ring_logged ? 1u << VHOST_VRING_F_LOG : 0};

	uvdpa_queue_areas(s->queue, &a);
	addr.desc_user_addr = user(s, a.desc);
	addr.avail_user_addr = user(s, a.avail);
	addr.used_user_addr = user(s, a.used);
	addr.log_guest_addr = a.used_iova;
	must_ack(s, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

void session_send_features(struct session *s, uint64_t features)
{
	s->features = features;
	must_ack(s, VHOST_USER_SET_FEATURES, &s->features, 8, NULL, 0);
}

/* All protocol features but STATUS: the export writes the status itself, as it does for most VMMs.
 */
static void greet(struct session *s)
{
	struct front_message m;
	uint64_t protocol;
	int r = front_ask(s->fd, VHOST_USER_GET_FEATURES, NULL, 0, &m);

	assert(r == 0);
	r = front_ask(s->fd, VHOST_USER_GET_PROTOCOL_FEATURES, NULL, 0, &m);
	assert(r == 0);
	protocol = m.payload.u64 & ~(1ull << VHOST_USER_PROTOCOL_F_STATUS | s->protocol_off);
	m = (struct front_message){.request = VHOST_USER_SET_PROTOCOL_FEATURES,
				   .flags = VHOST_USER_VERSION,
				   .size = 8,
				   .payload.u64 = protocol};
	r = front_send(s->fd, &m);
	assert(r == 0);
	must_ack(s, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0);
}

void session_start(struct session *s, const char *path, uint32_t base)
{
	struct vhost_vring_state state = {.num = s->ring};
	int kick = uvdpa_queue_kick_fd(s->queue), call = uvdpa_queue_call_fd(s->queue);

	s->fd = front_connect(path);
	greet(s);
	if (!s->features)
		s->features = 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_BLK_F_FLUSH |
			      1ull << VHOST_USER_F_PROTOCOL_FEATURES |
			      (uint64_t)s->packed << VIRTIO_F_RING_PACKED;
	session_send_features(s, s->features);
	if (!s->without_record)
		send_inflight(s);
	session_send_memory(s);
	must_ack(s, VHOST_USER_SET_VRING_NUM, &state, sizeof(state), NULL, 0);
	state.num = base;
	if (!s->without_base)
		must_ack(s, VHOST_USER_SET_VRING_BASE, &state, sizeof(state), NULL, 0);
	session_send_addr(s);
	if (s->polled)
		must_ack(s, VHOST_USER_SET_VRING_KICK, (uint64_t[]){VHOST_USER_VRING_NOFD}, 8, NULL,
			 0);
	else if (!s->inband)
		must_ack(s, VHOST_USER_SET_VRING_KICK, (uint64_t[]){0}, 8, &kick, 1);
	if (!s->inband)
		must_ack(s, VHOST_USER_SET_VRING_CALL, (uint64_t[]){0}, 8, &call, 1);
	state.num = 1;
	must_ack(s, VHOST_USER_SET_VRING_ENABLE, &state, sizeof(state), NULL, 0);
}

static void must(int fd, uint32_t request, const void *payload, uint32_t size, const int *event)
{
	int64_t r = front_ack(fd, request, payload, size, event, event ? 1 : 0);

	assert(r == 0);
}

void session_start_ring(int fd, unsigned index, struct uvdpa_queue *queue, uint32_t base)
{
	int kick = uvdpa_queue_kick_fd(queue), call = uvdpa_queue_call_fd(queue);
	struct vhost_vring_state state = {.index = index, .num = SESSION_RING};
	struct vhost_vring_addr addr = {.index = index};
	uint64_t which = index;
	struct uvdpa_queue_areas a;

	uvdpa_queue_areas(queue, &a);
	addr.desc_user_addr = (uintptr_t)a.desc;
	addr.avail_user_addr = (uintptr_t)a.avail;
	addr.used_user_addr = (uintptr_t)a.used;
	must(fd, VHOST_USER_SET_VRING_NUM, &state, sizeof(state), NULL);
	state.num = base;
	must(fd, VHOST_USER_SET_VRING_BASE, &state, sizeof(state), NULL);
	must(fd, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL);
	must(fd, VHOST_USER_SET_VRING_KICK, &which, 8, &kick);
	must(fd, VHOST_USER_SET_VRING_CALL, &which, 8, &call);
}

int64_t session_stop(struct session *s)
{
	struct vhost_vring_state state = {0};
	struct front_message answer;

	if (front_ask(s->fd, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), &answer) < 0)
		return -1;
	return answer.size ? (int64_t)answer.payload.state.num : -2;
}

void session_hang_up(struct session *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
