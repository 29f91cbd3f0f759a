/*
 * A front end's rings: what it set up, and when the core's queue is ready (see
 * vhost_user_internal.h: started and enabled).
 *
 * What a front end sets is kept here and given to the device when the queue gets ready, because the
 * device forgets it at a reset and the front end does not know of all of those. The device's base
 * is taken back whenever a queue stops being ready.
 */
#include "export/vhost_user/vhost_user_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "runtime/eventfd.h"
#include "ring/ring.h"
#include "util/bytes.h"
#include "util/log.h"

static void set_fd(int *slot, int fd)
{
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
}

int vu_rings_new(struct vu_client *client, unsigned count)
{
	client->rings = calloc(count, sizeof(*client->rings));
	if (!client->rings)
		return -ENOMEM;
	client->ring_count = count;
	for (unsigned i = 0; i < count; i++)
		client->rings[i].kick = client->rings[i].call = client->rings[i].err = -1;
	return 0;
}

void vu_rings_free(struct vu_client *client)
{
	for (unsigned i = 0; i < client->ring_count; i++) {
		set_fd(&client->rings[i].kick, -1);
		set_fd(&client->rings[i].call, -1);
		set_fd(&client->rings[i].err, -1);
	}
	free(client->rings);
	client->rings = NULL;
	client->ring_count = 0;
}

/* Whatever announced work on this ring does no more. */
static void forget_kicks(struct vu_client *client, unsigned index)
{
	struct vu_ring *ring = &client->rings[index];

	ring->inband_kick = ring->polled = false;
	set_fd(&ring->kick, -1);
	runtime_bind_kick(client->export->runtime, index, -1);
	runtime_poll_kicks(client->export->runtime, index, false);
}

void vu_rings_reset(struct vu_client *client)
{
	bool enabled =
		client->has_features && !(client->features & BIT(VHOST_USER_F_PROTOCOL_FEATURES));

	for (unsigned i = 0; i < client->ring_count; i++) {
		struct vu_ring *ring = &client->rings[i];

		ring->started = ring->stopped = ring->kept = false;
		ring->enabled = enabled;
		ring->has_base = false;
		forget_kicks(client, i);
	}
}

bool vu_rings_any_started(const struct vu_client *client)
{
	for (unsigned i = 0; i < client->ring_count; i++)
		if (client->rings[i].started)
			return true;
	return false;
}

/* Whether messages of ours stand in for descriptors that the front end did not give. */
static bool inband_to_front(const struct vu_client *client)
{
	return vu_has(client, VHOST_USER_PROTOCOL_F_BACKEND_REQ) &&
	       vu_has(client, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS);
}

void vu_rings_signal_error(struct vu_client *client)
{
	for (unsigned i = 0; i < client->ring_count; i++) {
		if (client->rings[i].err >= 0)
			eventfd_signal(client->rings[i].err);
		else if (client->rings[i].started && inband_to_front(client))
			client->errors_due |= BIT(i);
	}
}

static int no_ring(struct vu_client *client, unsigned index)
{
	return error_set(&client->err, -EINVAL, "there is no ring %u: the device has %u", index,
			 client->ring_count);
}

static bool is_ready(const struct vu_client *client, unsigned index)
{
	return device_get_vq_ready(client->export->device, index);
}

static int busy(struct vu_client *client, unsigned index, const char *what)
{
	return error_set(&client->err, -EBUSY, "%s of ring %u while it runs", what, index);
}

/* --- Getting ready ---------------------------------------------------------------------------- */

static void ready_done(void *arg, int result)
{
}

/* The areas as guest physical addresses, checked for form. */
static int translate(struct vu_client *client, unsigned index, uint64_t guest[3])
{
	const struct vhost_vring_addr *a = &client->rings[index].addr;
	const uint64_t user[3] = {a->desc_user_addr, a->avail_user_addr, a->used_user_addr};
	/* virtio 1.3, 2.7 and 2.8 */
	bool packed = client->features & BIT(VIRTIO_F_RING_PACKED);
	const unsigned alignment[3] = {16, packed ? 4 : 2, 4};

	for (unsigned i = 0; i < 3; i++) {
		if (vu_memory_guest_address(client->memory, user[i], &guest[i]) < 0)
			return error_set(&client->err, -EFAULT,
					 "ring %u at 0x%llx is not in any region", index,
					 (unsigned long long)user[i]);
		if (guest[i] % alignment[i])
			return error_set(&client->err, -EINVAL, "ring %u at 0x%llx is misaligned",
					 index, (unsigned long long)user[i]);
	}
	return 0;
}

static int bind_events(struct vu_client *client, unsigned index)
{
	struct vu_ring *ring = &client->rings[index];
	struct runtime *runtime = client->export->runtime;
	int r;

	/* Nobody gave a call descriptor, and in-band is agreed: calls become messages of ours. */
	if (ring->call < 0 && !ring->call_set && inband_to_front(client)) {
		ring->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ring->inband_call = ring->call >= 0;
	}
	runtime_bind_call(runtime, index, ring->call >= 0 ? dup(ring->call) : -1);
	runtime_poll_kicks(runtime, index, ring->polled);
	r = runtime_bind_kick(runtime, index, ring->kick >= 0 ? dup(ring->kick) : -1);
	return r < 0 ? error_set(&client->err, r, "ring %u: its kick descriptor is no eventfd",
				 index)
		     : 0;
}

/* Brings the core's queue to life with all that is known of the ring. */
static int make_ready(struct vu_client *client, unsigned index)
{
	struct device *device = client->export->device;
	struct vu_ring *ring = &client->rings[index];
	uint64_t guest[3];
	int r;

	if (!ring->has_addr || !ring->num)
		return error_set(&client->err, -EINVAL, "ring %u is started without %s", index,
				 ring->num ? "addresses" : "a size");
	r = translate(client, index, guest);
	if (r == 0)
		r = vu_start_device(client);
	if (r == 0)
		r = device_set_vq_num(device, index, ring->num);
	if (r == 0)
		r = device_set_vq_address(device, index, guest[0], guest[1], guest[2]);
	if (r == 0 && ring->has_base)
		r = device_set_vq_state(device, index, ring->base);
	if (r == 0)
		r = vu_inflight_attach(client, index);
	if (r == 0)
		r = bind_events(client, index);
	if (r < 0)
		return r;
	device_set_vq_ready(device, index, true, runtime_now_ms(), ready_done, NULL);
	if (device_holders(device) & HOLDER_DRIVER)
		r = device_resume(device, HOLDER_DRIVER);
	return r < 0 ? error_set(&client->err, r,
				 "ring %u does not run, the device is suspended: %s", index,
				 strerror(-r))
		     : 0;
}

static int start_if_due(struct vu_client *client, unsigned index)
{
	struct vu_ring *ring = &client->rings[index];

	if (!ring->started || !ring->enabled || is_ready(client, index))
		return 0;
	return make_ready(client, index);
}

static int enable(struct vu_client *client, unsigned index)
{
	client->rings[index].enabled = true;
	device_discard_vq(client->export->device, index, false);
	return start_if_due(client, index);
}

int vu_rings_enable_all(struct vu_client *client)
{
	int r = 0;

	for (unsigned i = 0; i < client->ring_count && r == 0; i++)
		r = enable(client, i);
	return r;
}

/* --- Standing still --------------------------------------------------------------------------- */

/* The queue has drained: where did it stop? */
static int take_base(struct vu_client *client)
{
	unsigned index = client->later_ring;
	uint32_t base = 0;

	if (device_state(client->export->device) == STATE_BROKEN)
		return error_set(&client->err, -EIO, "ring %u cannot be stopped in order: %s",
				 index, device_broken_reason(client->export->device));
	device_get_vq_state(client->export->device, index, &base);
	client->rings[index].base = base;
	client->rings[index].has_base = true;
	return 0;
}

/* The answer of SET_VRING_ENABLE 0. */
static int disabled(struct vu_client *client, int result)
{
	if (result == 0)
		return take_base(client);
	client->rings[client->later_ring].enabled = true;
	return error_set(&client->err, result, "ring %u cannot be disabled and runs on: %s",
			 client->later_ring, strerror(-result));
}

/* The answer of GET_VRING_BASE, once everything stands still. */
static int stopped(struct vu_client *client, int result)
{
	struct vu_message *message = &client->frame.message;
	unsigned index = client->later_ring;

	if (result < 0)
		return error_set(&client->err, result, "the device does not stand still");
	message->payload.state =
		(struct vhost_vring_state){.index = index, .num = client->rings[index].base};
	message->head.size = sizeof(message->payload.state);
	return 0;
}

/*
 * S10: the ring runs on. An answer without payload is one that no front end takes for a base, and
 * the connection stays, so that the front end can carry on (QEMU gives up the migration): it may
 * set the ring up again as if it had been stopped.
 */
static int not_stopped(struct vu_client *client, int result)
{
	log_warning(device_name(client->export->device),
		    "%s: ring %u cannot be stopped and runs on: %s", client->name,
		    client->later_ring,
		    result == -EBUSY ? "an operator has requests of it parked"
				     : "the backend does not give requests back in time");
	client->rings[client->later_ring].kept = true;
	client->frame.message.head.size = 0;
	return 0;
}

/*
 * The last ring that stops takes the driver's hold: "suspended device state". What ends that is the
 * next start, as the protocol has no message for it: so not of a device that cannot resume.
 */
static int ring_stopped(struct vu_client *client, int result)
{
	struct vu_ring *ring = &client->rings[client->later_ring];
	int r = result < 0 ? result : take_base(client);

	if (result == -ETIMEDOUT || result == -EBUSY)
		return not_stopped(client, result);
	if (r < 0)
		return r;
	ring->started = ring->kept = false;
	ring->stopped = true;
	forget_kicks(client, client->later_ring);
	if (vu_rings_any_started(client) || !device_can_resume(client->export->device))
		return stopped(client, 0);
	vu_later_begin(client, stopped);
	device_suspend(client->export->device, HOLDER_DRIVER, runtime_now_ms(), 0, vu_later_done,
		       &client->later);
	return VU_LATER;
}

static int make_unready(struct vu_client *client, unsigned index,
			int (*finish)(struct vu_client *, int))
{
	client->later_ring = index;
	vu_later_begin(client, finish);
	if (is_ready(client, index))
		device_stop_vq(client->export->device, index, runtime_now_ms(), vu_later_done,
			       &client->later);
	else
		vu_later_done(&client->later, 0);
	return VU_LATER;
}

/* --- The verbs ----------------------------------------------------------------------------------
 */

int vu_set_vring_num(struct vu_client *client, struct vu_message *message)
{
	const struct vhost_vring_state *state = &message->payload.state;

	if (state->index >= client->ring_count)
		return no_ring(client, state->index);
	if (client->rings[state->index].kept && state->num == client->rings[state->index].num)
		return 0;
	if (is_ready(client, state->index))
		return busy(client, state->index, "SET_VRING_NUM");
	if (!ring_size_fits(state->num, client->features) ||
	    state->num > device_get_vq_num_max(client->export->device))
		return error_set(&client->err, -EINVAL,
				 "ring %u of %u entries: %s up to %u is possible", state->index,
				 state->num,
				 client->features & BIT(VIRTIO_F_RING_PACKED) ? "any number"
									      : "a power of two",
				 device_get_vq_num_max(client->export->device));
	client->rings[state->index].num = (uint16_t)state->num;
	return 0;
}

static bool same_areas(const struct vhost_vring_addr *a, const struct vhost_vring_addr *b)
{
	return a->desc_user_addr == b->desc_user_addr && a->avail_user_addr == b->avail_user_addr &&
	       a->used_user_addr == b->used_user_addr;
}

int vu_set_vring_addr(struct vu_client *client, struct vu_message *message)
{
	const struct vhost_vring_addr *addr = &message->payload.addr;
	struct vu_ring *ring;

	if (addr->index >= client->ring_count)
		return no_ring(client, addr->index);
	if (addr->flags & ~(1u << VHOST_VRING_F_LOG))
		return error_set(&client->err, -EINVAL, "ring %u: flags 0x%x are unknown",
				 addr->index, addr->flags);
	ring = &client->rings[addr->index];
	/* QEMU sends it to a running ring, too, to switch the log flag. */
	if (is_ready(client, addr->index) && !same_areas(&ring->addr, addr))
		return busy(client, addr->index, "SET_VRING_ADDR");
	ring->addr = *addr;
	ring->has_addr = true;
	vu_log_apply_ring(client, addr->index);
	return 0;
}

/*
 * Whether a ring begins anew, as the driver reset it (virtio 1.3, 2.6.1), rather than go on where
 * it was stopped. No message says so; but it stood elsewhere.
 */
static bool begins_anew(const struct vu_client *client, unsigned index, uint32_t base)
{
	const struct vu_ring *ring = &client->rings[index];

	return client->features & BIT(VIRTIO_F_RING_RESET) && ring->stopped && ring->base != base &&
	       base == ring_first_base(client->features);
}

int vu_set_vring_base(struct vu_client *client, struct vu_message *message)
{
	const struct vhost_vring_state *state = &message->payload.state;

	if (state->index >= client->ring_count)
		return no_ring(client, state->index);
	/* the front end's guess (QEMU: the used index); the ring, which never stopped, knows */
	if (client->rings[state->index].kept)
		return 0;
	if (is_ready(client, state->index))
		return busy(client, state->index, "SET_VRING_BASE");
	if (begins_anew(client, state->index, state->num))
		vu_inflight_forget(client, state->index);
	client->rings[state->index].stopped = false;
	/* Which of the bits may be set depends on the layout: the device judges when it starts. */
	client->rings[state->index].base = state->num;
	client->rings[state->index].has_base = true;
	return 0;
}

int vu_get_vring_base(struct vu_client *client, struct vu_message *message)
{
	unsigned index = message->payload.state.index;

	if (index >= client->ring_count)
		return no_ring(client, index);
	return make_unready(client, index, ring_stopped);
}

int vu_set_vring_enable(struct vu_client *client, struct vu_message *message)
{
	const struct vhost_vring_state *state = &message->payload.state;

	if (state->index >= client->ring_count)
		return no_ring(client, state->index);
	if (state->num > 1)
		return error_set(&client->err, -EINVAL, "SET_VRING_ENABLE %u", state->num);
	client->rings[state->index].enabled = state->num;
	if (state->num)
		return enable(client, state->index);
	if (!is_ready(client, state->index))
		return 0;
	/* "Ring states": what is sent on a disabled ring is taken, and thrown away */
	if (device_discard_vq(client->export->device, state->index, true))
		return 0;
	return make_unready(client, state->index, disabled);
}

/*
 * Takes the descriptor of SET_VRING_KICK, CALL or ERR out of the message: -1 if the message says
 * that there is none. Only eventfds: everything else could block or end a worker that signals.
 */
static int event_fd(struct vu_client *client, struct vu_message *message, unsigned *index, int *fd)
{
	uint64_t value = message->payload.u64;
	bool none = value & VHOST_USER_VRING_NOFD;

	*index = value & VHOST_USER_VRING_INDEX_MASK;
	*fd = -1;
	if (value & ~(uint64_t)(VHOST_USER_VRING_INDEX_MASK | VHOST_USER_VRING_NOFD) ||
	    none != !message->fd_count)
		return error_set(&client->err, -EPROTO, "ring 0x%llx with %u descriptors",
				 (unsigned long long)value, message->fd_count);
	if (*index >= client->ring_count)
		return no_ring(client, *index);
	if (none)
		return 0;
	if (eventfd_check(message->fds[0]) < 0)
		return error_set(&client->err, -EINVAL, "ring %u: the descriptor is no eventfd",
				 *index);
	*fd = message->fds[0];
	message->fds[0] = -1;
	return 0;
}

/* An in-band kick needs something that the queue's worker waits for: an eventfd of ours. */
static int use_inband_kick(struct vu_ring *ring)
{
	if (!ring->inband_kick) {
		set_fd(&ring->kick, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
		ring->inband_kick = true;
	}
	return ring->kick < 0 ? -EMFILE : 0;
}

int vu_set_vring_kick(struct vu_client *client, struct vu_message *message)
{
	struct vu_ring *ring;
	unsigned index;
	int fd, r = event_fd(client, message, &index, &fd);

	if (r < 0)
		return r;
	ring = &client->rings[index];
	/* no descriptor: the ring is to be polled, whether or not in-band kicks were agreed on */
	set_fd(&ring->kick, fd);
	ring->polled = fd < 0;
	ring->inband_kick = false;
	ring->started = true;
	ring->kept = false;
	if (is_ready(client, index))
		return bind_events(client, index);
	return start_if_due(client, index);
}

int vu_set_vring_call(struct vu_client *client, struct vu_message *message)
{
	struct vu_ring *ring;
	unsigned index;
	int fd, r = event_fd(client, message, &index, &fd);

	if (r < 0)
		return r;
	ring = &client->rings[index];
	set_fd(&ring->call, fd);
	ring->inband_call = false;
	ring->call_set = true;
	runtime_bind_call(client->export->runtime, index, fd >= 0 ? dup(fd) : -1);
	return 0;
}

int vu_set_vring_err(struct vu_client *client, struct vu_message *message)
{
	unsigned index;
	int fd, r = event_fd(client, message, &index, &fd);

	if (r == 0)
		set_fd(&client->rings[index].err, fd);
	return r;
}

int vu_vring_kick(struct vu_client *client, struct vu_message *message)
{
	const struct vhost_vring_state *state = &message->payload.state;
	struct vu_ring *ring;
	int r = 0;

	if (state->index >= client->ring_count)
		return no_ring(client, state->index);
	ring = &client->rings[state->index];
	if (ring->kick < 0 && !ring->polled)
		r = use_inband_kick(ring);
	if (r < 0)
		return r;
	ring->started = true;
	ring->kept = false;
	r = start_if_due(client, state->index);
	eventfd_signal(ring->kick); /* of a polled ring there is none, and no need */
	return r;
}
